//! Bodies: what type they are, and the session description within them (RFC 3261 §7.4, RFC 5621, RFC 2046 §5.1).

use super::text::{Params, find_unquoted};
use bytes::Bytes;
use memchr::memmem;

/// How deep multipart bodies may lie in one another. Two are seen (related in mixed); more is an attack.
const MAX_DEPTH: usize = 4;

/// The media type of a Content-Type value, like `application/sdp`, without parameters; compared without case.
pub fn media_type(value: &str) -> &str {
    value[..find_unquoted(value, b';')].trim_ascii()
}

/// Whether a Content-Type value is of this media type.
pub fn is_media_type(value: &str, expected: &str) -> bool {
    media_type(value).eq_ignore_ascii_case(expected)
}

/// The session description in a body: all of it when it is one, else the first part of a multipart body
/// that is one and describes the session (Content-Disposition absent or `session`, RFC 5621 §8).
///
/// `None` when there is none. Nothing is copied.
pub fn sdp_part(content_type: &str, body: &Bytes) -> Option<Bytes> {
    find(content_type, body.clone(), MAX_DEPTH)
}

/// A multipart body with `sdp` in place of the part that [`sdp_part`] finds, every other octet as it was; `None` where
/// there is no such part, or the description is the whole body.
pub fn with_sdp(content_type: &str, body: &Bytes, sdp: &[u8]) -> Option<Bytes> {
    let part = sdp_part(content_type, body).filter(|part| part.len() < body.len())?;
    // It is a slice of the body, so its address tells where it begins.
    let start = (part.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let (front, back) = (body.get(..start)?, body.get(start + part.len()..)?);
    Some(Bytes::from([front, sdp, back].concat()))
}

fn find(content_type: &str, body: Bytes, depth: usize) -> Option<Bytes> {
    if is_media_type(content_type, "application/sdp") {
        return (!body.is_empty()).then_some(body);
    }
    let multipart = media_type(content_type).get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"));
    if !multipart || depth == 0 {
        return None;
    }
    let params = Params::new(content_type.get(find_unquoted(content_type, b';') + 1..).unwrap_or(""));
    let boundary = params.text("boundary").filter(|boundary| !boundary.is_empty())?;
    parts(&body, &boundary).find_map(|part| {
        let (kind, disposition) = (field(&part.head, "Content-Type"), field(&part.head, "Content-Disposition"));
        let session = disposition.is_none_or(|value| media_type(value).eq_ignore_ascii_case("session"));
        let plain = field(&part.head, "Content-Transfer-Encoding")
            .is_none_or(|value| ["7bit", "8bit", "binary"].iter().any(|own| value.eq_ignore_ascii_case(own)));
        if session && plain { find(kind.unwrap_or("text/plain"), part.body, depth - 1) } else { None }
    })
}

struct Part {
    head: Bytes,
    body: Bytes,
}

/// The parts between the delimiter lines of `boundary` (RFC 2046 §5.1.1); the last may lack its close.
fn parts(body: &Bytes, boundary: &str) -> impl Iterator<Item = Part> {
    let delimiter = format!("--{boundary}");
    let mut at = delimiter_after(body, &delimiter, 0);
    std::iter::from_fn(move || {
        let (_, from) = at?;
        if body[..from].ends_with(b"--") {
            return None;
        }
        // What is left of the delimiter line is padding.
        let start = memchr::memchr(b'\n', &body[from..]).map(|end| from + end + 1)?;
        at = delimiter_after(body, &delimiter, start);
        let mut end = at.map_or(body.len(), |(before, _)| before).max(start);
        // The line break in front of a delimiter belongs to the delimiter.
        if at.is_some() {
            end -= usize::from(body[start..end].ends_with(b"\n"));
            end -= usize::from(body[start..end].ends_with(b"\r"));
        }
        Some(part(body.slice(start..end)))
    })
}

/// Where the next delimiter line begins and where the delimiter, closing dashes included, ends.
fn delimiter_after(body: &[u8], delimiter: &str, from: usize) -> Option<(usize, usize)> {
    memmem::find_iter(&body[from..], delimiter.as_bytes()).map(|at| from + at).find_map(|at| {
        let end = at + delimiter.len();
        let line_start = at == 0 || body[at - 1] == b'\n';
        let close = body[end..].starts_with(b"--");
        let alone = matches!(body[end..].first(), None | Some(b'\r' | b'\n' | b' ' | b'\t'));
        (line_start && (close || alone)).then_some((at, if close { end + 2 } else { end }))
    })
}

fn part(octets: Bytes) -> Part {
    if octets.starts_with(b"\r\n") {
        return Part { head: Bytes::new(), body: octets.slice(2..) };
    }
    let split = |mark: &[u8]| memmem::find(&octets, mark).map(|at| (at, at + mark.len()));
    match split(b"\r\n\r\n").or_else(|| split(b"\n\n")) {
        Some((end, start)) => Part { head: octets.slice(..end), body: octets.slice(start..) },
        None => Part { head: octets.slice(..), body: Bytes::new() },
    }
}

/// The value of a header field of a part; folded lines are not joined.
fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = head.split(|&octet| octet == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(own, _)| own.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n";

    fn found(content_type: &str, body: &str) -> Option<String> {
        let part = sdp_part(content_type, &Bytes::from(body.to_owned()))?;
        Some(String::from_utf8_lossy(&part).into_owned())
    }

    #[test]
    fn a_description_is_replaced_among_parts_that_stay_as_they_are_tdr_153() {
        let parts = |sdp: &str| {
            format!(
                "preamble\r\n--b\r\nContent-Type: application/pidf+xml\r\nContent-ID: <a@example.com>\r\n\r\n<presence/>\r\n\
                 --b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b--\r\n"
            )
        };
        let (kind, body) = ("multipart/mixed;boundary=b", Bytes::from(parts(SDP)));
        assert_eq!(with_sdp(kind, &body, b"v=0\r\n"), Some(Bytes::from(parts("v=0\r\n"))));
        assert_eq!(with_sdp("application/sdp", &Bytes::from(SDP), b"v=0\r\n"), None, "nothing else is there");
        assert_eq!(with_sdp(kind, &Bytes::from_static(b"--b--"), b"v=0\r\n"), None);
    }

    #[test]
    fn a_description_alone_is_the_body() {
        assert_eq!(found("application/sdp", SDP).as_deref(), Some(SDP));
        assert_eq!(found(" Application/SDP ; charset=utf-8", SDP).as_deref(), Some(SDP));
        assert_eq!(found("application/sdp", ""), None);
        assert_eq!(found("text/plain", SDP), None);
        assert_eq!(found("", SDP), None);
    }

    #[test]
    fn a_description_is_found_among_parts() {
        let other = "--b1\r\nContent-Type: application/pidf+xml\r\n\r\n<a>--b1</a>\r\n";
        for body in [
            format!("preamble\r\n--b1 \r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n{other}--b1--\r\nepilogue"),
            format!(
                "{other}--b1\r\ncontent-type : APPLICATION/SDP;x=y\r\nContent-Disposition: session\r\n\r\n{SDP}\r\n--b1--"
            ),
            format!("--b1\r\n\r\nplain\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b1--"),
            // Without its close; line ends of LF alone.
            format!("--b1\nContent-Type: application/sdp\n\n{SDP}"),
        ] {
            assert_eq!(found("multipart/mixed;boundary=b1", &body).as_deref(), Some(SDP), "{body}");
            assert_eq!(found("Multipart/Mixed; boundary=\"b1\"", &body).as_deref(), Some(SDP), "{body}");
        }
    }

    #[test]
    fn parts_that_do_not_describe_this_session_are_passed_over() {
        for field in
            ["Content-Disposition: early-session", "Content-Transfer-Encoding: base64", "X: y\r\nContent-Type: a/b"]
        {
            let body = format!("--b1\r\n{field}\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b1--");
            assert_eq!(found("multipart/mixed;boundary=b1", &body), None, "{field}");
        }
        let body = format!("--b12\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b12--");
        assert_eq!(found("multipart/mixed;boundary=b1", &body), None);
        assert_eq!(found("multipart/mixed", &body), None);
        assert_eq!(found("multipart/mixed;boundary=\"\"", &body), None);
    }

    #[test]
    fn parts_may_lie_in_parts_but_not_without_end() {
        let mut body = SDP.to_owned();
        let mut content_type = "application/sdp".to_owned();
        for depth in 1..8 {
            body = format!("--b{depth}\r\nContent-Type: {content_type}\r\n\r\n{body}\r\n--b{depth}--\r\n");
            content_type = format!("multipart/related;boundary=b{depth}");
            assert_eq!(found(&content_type, &body).is_some(), depth <= MAX_DEPTH, "{depth}");
        }
    }
}
