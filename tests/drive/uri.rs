//! Text as URIs, each compared with the others.

use tandem::sip::{Uri, ValueError, host_ip};

/// Reads each line of `data` as a URI.
///
/// # Panics
///
/// When a URI is not what it was written as, or not its own equal.
pub fn drive(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read: Vec<Uri<'_>> = text.lines().take(4).filter_map(|line| Uri::parse(line).ok()).collect();
    for one in &read {
        ask(one).expect("read once");
        for other in &read {
            let alike = one.equivalent(other);
            assert_eq!(alike, other.equivalent(one), "{} and {}", one.as_str(), other.as_str());
        }
    }
}

/// Everything that a URI can be asked.
pub fn ask(uri: &Uri<'_>) -> Result<(), ValueError> {
    let _ = (uri.user().map(Uri::unescape), uri.user_params().get("ext"), host_ip(uri.host()), uri.port());
    let _ = (uri.params().get("transport"), uri.header("Replaces"), uri.headers().count());
    assert!(uri.equivalent(uri), "{}", uri.as_str());
    let again = Uri::parse(uri.as_str()).expect("a URI as written");
    assert_eq!(
        (again.scheme(), again.user(), again.host(), again.port()),
        (uri.scheme(), uri.user(), uri.host(), uri.port())
    );
    assert!(!uri.as_str().contains(['\r', '\n', ' ', '<', '>', '"']), "{}", uri.as_str());
    Ok(())
}
