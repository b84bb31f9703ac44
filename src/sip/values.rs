//! Values of single header fields that have a grammar of their own, decoded when somebody asks.
//!
//! Each type reads one value, borrows from it, and where Tandem writes the field itself, prints it the
//! way the RFC has it.

use super::address::NameAddr;
use super::message::Message;
use super::method::Method;
use super::name::Name;
use super::text::{Params, ValueError, decimal, find_unquoted, is_token, quote, unquote};
use super::uri::Uri;
use std::borrow::Cow;
use std::fmt;

/// Which side of a dialog refreshes its session timer (RFC 4028 §4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answers it.
    Uas,
}

impl fmt::Display for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        })
    }
}

/// Session-Expires (RFC 4028 §4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionExpires {
    /// The session interval in seconds.
    pub seconds: u32,
    /// Who refreshes; `None` when the other side is to choose, or in an unknown word.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads one value, like `1800;refresher=uac`.
    ///
    /// # Errors
    ///
    /// [`ValueError::Number`] when the interval is not a number.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let (_, params) = value.split_once(';').unwrap_or((value, ""));
        let refresher = match Params::new(params).get("refresher") {
            Some(word) if word.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(word) if word.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Ok(Self { seconds: decimal(value)?, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        self.refresher.map_or(Ok(()), |refresher| write!(f, ";refresher={refresher}"))
    }
}

/// Replaces: the dialog that a new one takes the place of (RFC 3891 §6.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Replaces<'a> {
    /// Its Call-ID.
    pub call_id: &'a str,
    /// The tag that is the recipient's own in that dialog.
    pub to_tag: &'a str,
    /// The tag of the recipient's peer in that dialog.
    pub from_tag: &'a str,
    /// Whether only an early dialog may be replaced.
    pub early_only: bool,
}

impl<'a> Replaces<'a> {
    /// Reads the value of the header field; that of a Refer-To has to be unescaped first
    /// (see [`Uri::header`]).
    ///
    /// # Errors
    ///
    /// [`ValueError::Empty`] without Call-ID, [`ValueError::Parameter`] unless both tags stand there once.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let (call_id, params) = value.split_once(';').ok_or(ValueError::Parameter)?;
        let (call_id, params) = (call_id.trim(), Params::new(params));
        if call_id.is_empty() {
            return Err(ValueError::Empty);
        }
        let once = |name: &str| {
            let mut found = params.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
            match (found.next(), found.next()) {
                (Some((_, Some(tag))), None) if !tag.is_empty() => Ok(tag),
                _ => Err(ValueError::Parameter),
            }
        };
        Ok(Self { call_id, to_tag: once("to-tag")?, from_tag: once("from-tag")?, early_only: params.has("early-only") })
    }
}

impl fmt::Display for Replaces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        f.write_str(if self.early_only { ";early-only" } else { "" })
    }
}

/// One value of Reason: why a request was sent (RFC 3326 §2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reason<'a> {
    /// Whose causes these are: `SIP`, `Q.850`, or another token; compared without case.
    pub protocol: &'a str,
    /// The cause in that protocol; `None` when absent or not a number.
    pub cause: Option<u16>,
    /// A text for people; `None` when absent.
    pub text: Option<Cow<'a, str>>,
}

impl<'a> Reason<'a> {
    /// Reads one value, like `Q.850;cause=16;text="Terminated"`.
    ///
    /// # Errors
    ///
    /// [`ValueError::Token`] when the protocol is not a token.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let (protocol, params) = value.split_once(';').unwrap_or((value, ""));
        let (protocol, params) = (protocol.trim(), Params::new(params));
        if !is_token(protocol) {
            return Err(ValueError::Token);
        }
        let cause = params.text("cause").and_then(|cause| cause.parse().ok());
        Ok(Self { protocol, cause, text: params.text("text") })
    }
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        self.text.as_ref().map_or(Ok(()), |text| write!(f, ";text={}", quote(text)))
    }
}

/// Every Reason value of `message` that can be read, in order.
pub fn reasons(message: &Message) -> impl Iterator<Item = Reason<'_>> {
    message.values(Name::Reason).filter_map(|value| Reason::parse(value).ok())
}

/// RAck: which reliable provisional response a PRACK acknowledges (RFC 3262 §7.2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RAck {
    /// The RSeq of that response.
    pub rseq: u32,
    /// The CSeq number of that response.
    pub cseq: u32,
    /// The CSeq method of that response.
    pub method: Method,
}

impl RAck {
    /// Reads the value, like `776656 1 INVITE`.
    ///
    /// # Errors
    ///
    /// [`ValueError::Number`] or [`ValueError::Token`] name the part that is malformed.
    pub fn parse(value: &str) -> Result<Self, ValueError> {
        let mut parts = value.split_ascii_whitespace();
        let mut number = || parts.next().ok_or(ValueError::Number).and_then(decimal);
        let (rseq, cseq) = (number()?, number()?);
        match (parts.next(), parts.next()) {
            (Some(method), None) if is_token(method) => Ok(Self { rseq, cseq, method: Method::from(method) }),
            _ => Err(ValueError::Token),
        }
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.cseq, self.method)
    }
}

/// The option tags in Supported, Require, Proxy-Require or Unsupported, in order (RFC 3261 §19.2). Serves
/// for every other list of tokens as well: Allow, Allow-Events.
pub fn option_tags(message: &Message, name: Name) -> impl Iterator<Item = &str> {
    message.values(name)
}

/// Whether the list of `name` has this option tag, in any case.
pub fn has_option(message: &Message, name: Name, tag: &str) -> bool {
    option_tags(message, name).any(|own| own.eq_ignore_ascii_case(tag))
}

/// The privacy wishes of a message, like `id` and `user` (RFC 3323 §4.2, RFC 3325 §9.3); compared without
/// case. Commas between them are taken as semicolons, as some stacks write them.
pub fn privacy(message: &Message) -> impl Iterator<Item = &str> {
    message.values(Name::Privacy).flat_map(|value| value.split(';')).map(str::trim).filter(|value| !value.is_empty())
}

/// One value of User-to-User: what an application hands along with a call (RFC 7433 §4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserToUser<'a> {
    /// The data without quotes, in its encoding.
    pub data: Cow<'a, str>,
    /// The encoding, `hex` or another token; `None` stands for `hex`.
    pub encoding: Option<&'a str>,
    /// What it is for; `None` stands for `isdn-uui` (RFC 7434).
    pub purpose: Option<&'a str>,
    /// What the data is; `None` when absent.
    pub content: Option<&'a str>,
    /// The protocol discriminator beside the data, two hex digits, as Genesys writes it (GEN-65); `None` when absent.
    pub pd: Option<&'a str>,
}

impl<'a> UserToUser<'a> {
    /// Reads one value, like `00C81031;encoding=hex`.
    ///
    /// # Errors
    ///
    /// [`ValueError::Empty`] when there is no data.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        let end = find_unquoted(value, b';');
        let data = value[..end].trim();
        if data.is_empty() {
            return Err(ValueError::Empty);
        }
        let params = Params::new(value.get(end + 1..).unwrap_or(""));
        Ok(Self {
            data: unquote(data),
            encoding: params.get("encoding"),
            purpose: params.get("purpose"),
            content: params.get("content"),
            pd: params.get("pd"),
        })
    }
}

/// One value of History-Info: a target that the request had before (RFC 7044 §5).
#[derive(Clone, Copy, Debug)]
pub struct HistoryInfo<'a> {
    /// The target; what came of it is in the headers of its URI.
    pub address: NameAddr<'a>,
}

impl<'a> HistoryInfo<'a> {
    /// Reads one value.
    ///
    /// # Errors
    ///
    /// As [`NameAddr::parse`].
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        Ok(Self { address: NameAddr::parse(value)? })
    }

    /// Its place in the tree of targets, like `1.2`; `None` when absent.
    pub fn index(&self) -> Option<&'a str> {
        self.address.params().get("index")
    }

    /// The Reason within the URI, without escapes, as [`Reason::parse`] takes it; `None` when absent.
    pub fn reason(&self) -> Option<Cow<'a, str>> {
        self.address.uri().ok()?.header("Reason")
    }

    /// The redirecting reason as the `cause` parameter of the URI has it (RFC 4458), else the cause of the
    /// [`reason`](Self::reason).
    pub fn cause(&self) -> Option<u16> {
        let uri: Uri<'a> = self.address.uri().ok()?;
        let own = uri.params().get("cause").and_then(|cause| cause.parse().ok());
        own.or_else(|| Reason::parse(&uri.header("Reason")?).ok()?.cause)
    }

    /// Whether privacy is asked for this entry (RFC 7044 §10.1).
    pub fn private(&self) -> bool {
        let Ok(uri) = self.address.uri() else { return false };
        uri.header("Privacy").is_some_and(|value| {
            value.split(';').any(|wish| ["history", "header"].iter().any(|own| wish.trim().eq_ignore_ascii_case(own)))
        })
    }
}

/// One value of Diversion: who had the call before, and why it left them (RFC 5806).
#[derive(Clone, Copy, Debug)]
pub struct Diversion<'a> {
    /// Who diverted.
    pub address: NameAddr<'a>,
}

impl<'a> Diversion<'a> {
    /// Reads one value.
    ///
    /// # Errors
    ///
    /// As [`NameAddr::parse`].
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        Ok(Self { address: NameAddr::parse(value)? })
    }

    /// Why, like `user-busy` or `unconditional`; `None` when absent.
    pub fn reason(&self) -> Option<Cow<'a, str>> {
        self.address.params().text("reason")
    }

    /// How many diversions this entry stands for; `None` when absent or not a number.
    pub fn counter(&self) -> Option<u32> {
        self.address.params().text("counter").and_then(|counter| decimal(&counter).ok())
    }

    /// The privacy asked for, like `full` or `off`; `None` when absent.
    pub fn privacy(&self) -> Option<Cow<'a, str>> {
        self.address.params().text("privacy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(lines: &str) -> Message {
        let head = "Via: SIP/2.0/UDP a.example.com;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
                    To: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n";
        let text = format!("INVITE sip:b@example.com SIP/2.0\r\n{head}{lines}\r\n");
        Message::parse(Bytes::from(text)).expect("a message")
    }

    #[test]
    fn session_expires_is_read_and_written() {
        for (value, seconds, refresher, written) in [
            ("1800;refresher=uac", 1800, Some(Refresher::Uac), "1800;refresher=uac"),
            ("90 ; Refresher = UAS", 90, Some(Refresher::Uas), "90;refresher=uas"),
            ("3600", 3600, None, "3600"),
            ("3600;refresher=proxy;x=y", 3600, None, "3600"),
        ] {
            let read = SessionExpires::parse(value);
            assert_eq!(read, Ok(SessionExpires { seconds, refresher }), "{value}");
            assert_eq!(read.map(|read| read.to_string()).as_deref(), Ok(written));
        }
        assert_eq!(SessionExpires::parse("soon"), Err(ValueError::Number));
    }

    #[test]
    fn replaces_needs_each_tag_once() {
        let value = "425928@bobster.example.org;to-tag=7743;from-tag=6472;early-only";
        let replaces = Replaces::parse(value).expect("reads");
        let expected =
            Replaces { call_id: "425928@bobster.example.org", to_tag: "7743", from_tag: "6472", early_only: true };
        assert_eq!((replaces, replaces.to_string().as_str()), (expected, value));
        // The order of the tags does not matter (RFC 3891 §6.1).
        assert_eq!(Replaces::parse("a;from-tag=1;to-tag=2").map(|replaces| replaces.to_tag), Ok("2"));
        for (value, error) in [
            ("a", ValueError::Parameter),
            ("a;to-tag=1", ValueError::Parameter),
            ("a;to-tag=1;from-tag=", ValueError::Parameter),
            ("a;to-tag=1;from-tag=2;to-tag=3", ValueError::Parameter),
            (";to-tag=1;from-tag=2", ValueError::Empty),
        ] {
            assert_eq!(Replaces::parse(value), Err(error), "{value}");
        }
    }

    #[test]
    fn the_replaces_of_a_refer_to_is_found_behind_its_escapes() {
        let value = "<sip:+14255550123@example.com;transport=tls?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&X=1>";
        let uri = NameAddr::parse(value).and_then(|address| address.uri()).expect("reads");
        let text = uri.header("Replaces").expect("there");
        assert_eq!(
            Replaces::parse(&text).map(|replaces| replaces.to_string()).as_deref(),
            Ok("a@b;to-tag=1;from-tag=2")
        );
    }

    #[test]
    fn reasons_are_read_from_lists_and_lines() {
        let message = message(
            "Reason: Q.850;cause=16;text=\"Terminated, \\\"so\\\"\", SIP ;cause=600\r\n\
             Reason: ;cause=1\r\nReason: Q.850;cause=x\r\n",
        );
        let all: Vec<_> = reasons(&message).map(|reason| reason.to_string()).collect();
        assert_eq!(all, ["Q.850;cause=16;text=\"Terminated, \\\"so\\\"\"", "SIP;cause=600", "Q.850"]);
        assert_eq!(Reason::parse("SIP;cause=200;text=\"Call completed elsewhere\"").expect("reads").cause, Some(200));
    }

    #[test]
    fn rack_names_the_response() {
        let rack = RAck::parse("776656  1 INVITE").expect("reads");
        assert_eq!((rack.rseq, rack.cseq, &rack.method), (776_656, 1, &Method::Invite));
        assert_eq!(rack.to_string(), "776656 1 INVITE");
        for (value, error) in [
            ("1 INVITE", ValueError::Number),
            ("1 1", ValueError::Token),
            ("1 1 INVITE x", ValueError::Token),
            ("4294967296 1 INVITE", ValueError::Number),
        ] {
            assert_eq!(RAck::parse(value), Err(error), "{value}");
        }
    }

    #[test]
    fn option_tags_of_all_lines_count_in_any_case() {
        let message = message("Supported: timer,100rel\r\nk: Replaces\r\nRequire:\r\n");
        assert_eq!(option_tags(&message, Name::Supported).collect::<Vec<_>>(), ["timer", "100rel", "Replaces"]);
        assert!(has_option(&message, Name::Supported, "100REL") && has_option(&message, Name::Supported, "replaces"));
        assert!(!has_option(&message, Name::Supported, "100") && !has_option(&message, Name::Require, ""));
    }

    #[test]
    fn privacy_values_come_apart() {
        let message = message("Privacy: id; user\r\nPrivacy: header,critical;\r\n");
        assert_eq!(privacy(&message).collect::<Vec<_>>(), ["id", "user", "header", "critical"]);
    }

    #[test]
    fn user_to_user_data_may_be_quoted() {
        let uui = UserToUser::parse("00C81031;encoding=hex;purpose=isdn-uui;content=isdn-uui").expect("reads");
        assert_eq!((&*uui.data, uui.encoding), ("00C81031", Some("hex")));
        assert_eq!((uui.purpose, uui.content), (Some("isdn-uui"), Some("isdn-uui")));
        let uui = UserToUser::parse("\"a;b=c\" ; encoding=ascii").expect("reads");
        assert_eq!((&*uui.data, uui.encoding, uui.purpose), ("a;b=c", Some("ascii"), None));
        assert_eq!(UserToUser::parse(";encoding=hex"), Err(ValueError::Empty));
    }

    #[test]
    fn history_and_diversion_tell_what_became_of_the_call() {
        let entry = HistoryInfo::parse(
            "<sip:+14255550123@example.com?Reason=SIP%3Bcause%3D486%3Btext%3D%22Busy%22&Privacy=history>;index=1.1;rc=1",
        )
        .expect("reads");
        assert_eq!((entry.index(), entry.cause(), entry.private()), (Some("1.1"), Some(486), true));
        assert_eq!(entry.reason().as_deref(), Some("SIP;cause=486;text=\"Busy\""));
        let entry = HistoryInfo::parse("<sip:b@example.com;cause=302>;index=1").expect("reads");
        assert_eq!((entry.cause(), entry.reason(), entry.private()), (Some(302), None, false));
        let entry =
            Diversion::parse("\"A\" <sip:a@example.com>;reason=\"user-busy\";counter=2;privacy=off").expect("reads");
        assert_eq!((entry.reason().as_deref(), entry.counter()), (Some("user-busy"), Some(2)));
        assert_eq!(entry.privacy().as_deref(), Some("off"));
    }
}
