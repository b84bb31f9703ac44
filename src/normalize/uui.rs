//! User-to-user information: what an application hands along with a call, in all the spellings that Genesys and the
//! stacks around it know (RFC 7433, 7434; GEN-65 to 67).
//!
//! It is read into data and protocol discriminator, and written in the form that a trunk wants, so that nothing is lost on
//! the way:
//!
//! ```text
//! User-to-User: 00C81031;encoding=hex;purpose=isdn-uui;content=isdn-uui   discriminator 00 in front of the data
//! User-to-User: C81031;pd=00;encoding=hex;purpose=isdn-uui                discriminator in a parameter
//! x-User-to-User: C81031;encoding=hex                                     none
//! x-User-to-User: text;encoding=ascii                                     none, the data as text
//! sip:+14255550100@example.com?User-to-User=00C81031%3Bencoding%3Dhex     any of these in a URI (GEN-68)
//! ```

use crate::sip::{Field, Message, Name, Uri, UserToUser};
use crate::trunk::policy::UserToUserForm;
use std::borrow::Cow;

/// The most octets of data that cross. Genesys advises 128 characters and sets no limit (GEN-64); ISDN has 128 octets
/// (RFC 7434 §8). What is longer is no user-to-user information but somebody's mistake.
const MAX_OCTETS: usize = 512;

/// Why user-to-user information does not cross.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UserToUserFault {
    /// Not as RFC 7433 §4.1 has it: no data, or the discriminator missing or no octet.
    #[error("malformed")]
    Malformed,
    /// Data that is no hex, though the encoding says so or is absent (GEN-66).
    #[error("not hex")]
    NotHex,
    /// An encoding other than hex and ascii, or text with other characters.
    #[error("encoding unknown")]
    Encoding,
    /// More than 512 octets.
    #[error("too long")]
    TooLong,
}

/// User-to-user information, read.
#[derive(Clone, Eq, PartialEq)]
pub struct UserToUserData<'m> {
    /// The data, without discriminator.
    pub octets: Vec<u8>,
    /// The protocol discriminator (RFC 7434 §7); `None` where the form has none.
    pub discriminator: Option<u8>,
    /// The value as it came, and the name of its field.
    received: (Name, Cow<'m, str>),
}

/// Without the data, which is the application's own business.
impl std::fmt::Debug for UserToUserData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserToUserData").field("octets", &self.octets.len()).finish_non_exhaustive()
    }
}

/// The discriminator where the caller gave none: user-specific, as Genesys has it by default (RFC 7434 §7, GEN-65).
const USER_SPECIFIC: u8 = 0;

/// What the INVITE `request` hands along: of `User-to-User`, `x-User-to-User` and the headers of the Request-URI the first,
/// in this order, as Genesys looks for it (GEN-66). `None`: nothing.
///
/// # Errors
///
/// [`UserToUserFault`]: it cannot be read, so nobody may get it.
pub fn user_to_user(request: &Message) -> Result<Option<UserToUserData<'_>>, UserToUserFault> {
    if let Some(value) = request.values(Name::UserToUser).next().or(request.header(Name::UserToUser)) {
        return read(Name::UserToUser, Cow::Borrowed(value)).map(Some);
    }
    if let Some(value) = request.extension("x-user-to-user").next() {
        return read(Name::Other, Cow::Borrowed(value)).map(Some);
    }
    of_uri(request.request_uri())
}

/// What a URI hands along in its headers: that of an INVITE, or of a Refer-To (GEN-68). `None`: nothing.
///
/// # Errors
///
/// As [`user_to_user`].
fn of_uri(uri: &str) -> Result<Option<UserToUserData<'static>>, UserToUserFault> {
    let Ok(uri) = Uri::parse(uri) else { return Ok(None) };
    let own = |name: Name, text: &str| uri.header(text).map(|value| (name, Cow::Owned(value.into_owned())));
    let found = own(Name::UserToUser, "User-to-User").or_else(|| own(Name::Other, "x-User-to-User"));
    found.map(|(name, value)| read(name, value)).transpose()
}

fn read(name: Name, received: Cow<'_, str>) -> Result<UserToUserData<'_>, UserToUserFault> {
    let value = UserToUser::parse(&received).map_err(|_| UserToUserFault::Malformed)?;
    let hex = match value.encoding {
        None => true,
        Some(encoding) if encoding.eq_ignore_ascii_case("hex") => true,
        Some(encoding) if encoding.eq_ignore_ascii_case("ascii") => false,
        Some(_) => return Err(UserToUserFault::Encoding),
    };
    // Each octet takes two digits, and a discriminator one octet.
    if value.data.len() > 2 * MAX_OCTETS + 2 {
        return Err(UserToUserFault::TooLong);
    }
    let mut octets = if hex { octets(&value.data).ok_or(UserToUserFault::NotHex)? } else { text(&value.data)? };
    let discriminator = match (name, value.pd) {
        (_, Some(pd)) => match self::octets(pd).as_deref() {
            Some([octet]) => Some(*octet),
            _ => return Err(UserToUserFault::Malformed),
        },
        (Name::UserToUser, None) if hex => Some(octets.remove(0)),
        (_, None) => None,
    };
    if octets.is_empty() {
        return Err(UserToUserFault::Malformed);
    }
    if octets.len() > MAX_OCTETS {
        return Err(UserToUserFault::TooLong);
    }
    Ok(UserToUserData { octets, discriminator, received: (name, received) })
}

/// The octets of an even number of hex digits, at least two.
fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect())
}

fn text(data: &str) -> Result<Vec<u8>, UserToUserFault> {
    let data = Uri::unescape(data);
    let fits = !data.is_empty() && data.bytes().all(|octet| (0x20..0x7f).contains(&octet));
    if fits { Ok(data.as_bytes().to_vec()) } else { Err(UserToUserFault::Encoding) }
}

/// The header field that hands `data` along in this form; `None` where the trunk gets none.
pub fn handed_along(form: UserToUserForm, data: &UserToUserData<'_>) -> Option<(Field, String)> {
    const ISDN: &str = ";encoding=hex;purpose=isdn-uui;content=isdn-uui";
    let hex = || {
        let digits = data.octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).map(|digit| digit.to_ascii_uppercase()).collect()
    };
    let discriminator = data.discriminator.unwrap_or(USER_SPECIFIC);
    let extension = Field::from("x-User-to-User");
    // What would have to be escaped goes in hex: whether Genesys takes escapes away is not published.
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b" -_.:/@".contains(octet);
    let is_plain =
        data.octets.iter().all(plain) && data.octets.first() != Some(&b' ') && data.octets.last() != Some(&b' ');
    let text = std::str::from_utf8(&data.octets).ok().filter(|_| is_plain);
    let (field, value): (Field, String) = match form {
        UserToUserForm::None => return None,
        UserToUserForm::AsReceived => {
            let field = if data.received.0 == Name::Other { extension } else { Field::from(Name::UserToUser) };
            (field, data.received.1.clone().into_owned())
        }
        UserToUserForm::Prefixed => {
            let hex: String = hex();
            (Field::from(Name::UserToUser), format!("{discriminator:02X}{hex}{ISDN}"))
        }
        UserToUserForm::Discriminator => {
            let hex: String = hex();
            (Field::from(Name::UserToUser), format!("{hex};pd={discriminator:02X}{ISDN}"))
        }
        UserToUserForm::ExtensionText if text.is_some() => {
            (extension, format!("{};encoding=ascii", text.unwrap_or_default()))
        }
        UserToUserForm::Extension | UserToUserForm::ExtensionText => {
            let hex: String = hex();
            (extension, format!("{hex};encoding=hex"))
        }
    };
    Some((field, value))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{invite, message};
    use super::*;
    use proptest::prelude::*;

    /// Data and discriminator.
    type Read = (Vec<u8>, Option<u8>);

    fn data(lines: &[&str]) -> Result<Option<Read>, UserToUserFault> {
        user_to_user(&invite(lines)).map(|found| found.map(|data| (data.octets, data.discriminator)))
    }

    /// What a trunk gets of this line.
    fn sent(form: UserToUserForm, line: &str) -> Option<String> {
        let request = invite(&[line]);
        let data = user_to_user(&request).unwrap().unwrap();
        handed_along(form, &data).map(|(field, value)| format!("{}: {value}", field.as_str()))
    }

    const FORMS: [UserToUserForm; 5] = [
        UserToUserForm::AsReceived,
        UserToUserForm::Prefixed,
        UserToUserForm::Discriminator,
        UserToUserForm::Extension,
        UserToUserForm::ExtensionText,
    ];

    #[test]
    fn every_spelling_is_the_same_data_gen_65() {
        for (line, discriminator) in [
            ("User-to-User: 0041-", None),
            ("User-to-User: 004163636F756E74;encoding=hex;purpose=isdn-uui;content=isdn-uui", Some(0)),
            ("User-to-User: 004163636f756e74", Some(0)),
            ("User-to-User: 4163636F756E74;pd=04;encoding=hex;purpose=isdn-uui;content=isdn-uui", Some(4)),
            ("User-to-User: Account;encoding=ascii", None),
            ("x-User-to-User: 4163636F756E74;encoding=hex", None),
            ("X-USER-TO-USER: Account;encoding=ascii", None),
            ("x-User-to-User: \"Account\";encoding=ascii", None),
            ("x-User-to-User: 4163636F756E74", None),
        ] {
            let expected = if line.ends_with('-') {
                Err(UserToUserFault::NotHex)
            } else {
                Ok(Some((b"Account".to_vec(), discriminator)))
            };
            assert_eq!(data(&[line]), expected, "{line}");
        }
        assert_eq!(data(&[]), Ok(None));
    }

    #[test]
    fn a_uri_may_carry_it_gen_68() {
        let uri = "sip:+14255550100@sbc1.example.com?User-to-User=004163%3Bencoding%3Dhex&X=1";
        let request = message(&format!("INVITE {uri} SIP/2.0"), &[], "");
        assert_eq!(user_to_user(&request).unwrap().unwrap().octets, b"Ac");
        assert_eq!(of_uri("sip:+14255550100@example.com"), Ok(None));
        assert_eq!(of_uri("sip:a@example.com?User-to-User=zz").unwrap_err(), UserToUserFault::NotHex);
    }

    #[test]
    fn of_several_the_first_that_genesys_would_look_for_counts_gen_66() {
        let lines = ["x-User-to-User: text;encoding=ascii", "User-to-User: 0041;encoding=hex", "User-to-User: 0042"];
        assert_eq!(data(&lines), Ok(Some((b"A".to_vec(), Some(0)))));
    }

    #[test]
    fn a_trunk_gets_the_form_it_wants_gen_65() {
        let line = "User-to-User: 044163;encoding=hex";
        let isdn = ";encoding=hex;purpose=isdn-uui;content=isdn-uui";
        assert_eq!(sent(UserToUserForm::AsReceived, line).as_deref(), Some(line));
        assert_eq!(sent(UserToUserForm::Prefixed, line), Some(format!("User-to-User: 044163{isdn}")));
        assert_eq!(sent(UserToUserForm::Discriminator, line), Some(format!("User-to-User: 4163;pd=04{isdn}")));
        assert_eq!(sent(UserToUserForm::Extension, line).as_deref(), Some("x-User-to-User: 4163;encoding=hex"));
        assert_eq!(sent(UserToUserForm::ExtensionText, line).as_deref(), Some("x-User-to-User: Ac;encoding=ascii"));
        assert_eq!(sent(UserToUserForm::None, line), None);
        let binary = "x-User-to-User: 3b00";
        assert_eq!(sent(UserToUserForm::ExtensionText, binary).as_deref(), Some("x-User-to-User: 3B00;encoding=hex"));
    }

    #[test]
    fn what_cannot_be_read_crosses_in_no_form_gen_66() {
        for (line, fault) in [
            ("User-to-User: 04abc;encoding=hex", UserToUserFault::NotHex),
            ("User-to-User: ;encoding=hex", UserToUserFault::Malformed),
            ("User-to-User: 00", UserToUserFault::Malformed),
            ("User-to-User: 4163;pd=xyz", UserToUserFault::Malformed),
            ("User-to-User: text", UserToUserFault::NotHex),
            ("x-User-to-User: text;encoding=utf16", UserToUserFault::Encoding),
            ("x-User-to-User: \"\u{fc}\";encoding=ascii", UserToUserFault::Encoding),
        ] {
            assert_eq!(data(&[line]), Err(fault), "{line}");
        }
        let octets = |count| format!("x-User-to-User: {}", "41".repeat(count));
        assert!(data(&[&octets(MAX_OCTETS)]).is_ok());
        assert_eq!(data(&[&octets(MAX_OCTETS + 1)]), Err(UserToUserFault::TooLong));
        assert_eq!(data(&[&octets(4000)]), Err(UserToUserFault::TooLong));
    }

    #[test]
    fn it_prints_no_data() {
        let request = invite(&["x-User-to-User: Account;encoding=ascii"]);
        assert_eq!(format!("{:?}", user_to_user(&request)), "Ok(Some(UserToUserData { octets: 7, .. }))");
    }

    proptest! {
        #[test]
        fn whatever_is_handed_along_is_read_as_the_same_data_in_every_form(
            octets in proptest::collection::vec(any::<u8>(), 1..=64),
            discriminator: u8,
        ) {
            let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            let first = format!("User-to-User: {discriminator:02x}{hex}");
            for form in FORMS {
                let line = sent(form, &first).unwrap();
                let (again, kept) = data(&[&line]).unwrap().unwrap();
                prop_assert_eq!(&again, &octets, "{}", line);
                prop_assert!(kept.is_none_or(|kept| kept == discriminator));
                prop_assert_eq!(sent(form, &line), Some(line));
            }
        }
    }
}
