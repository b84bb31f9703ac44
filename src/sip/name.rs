//! Header field names, with their compact forms (RFC 3261 §7.3.3).
//!
//! A name is recognised once, when a message is indexed; afterwards it is one octet to compare.
//! Names compare without case, and a compact form is the same name.

/// Declares [`Name`] from one table: variant, canonical spelling, compact form where there is one.
macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?),* $(,)?) => {
        /// A header field name that the core knows; anything else is [`Name::Other`].
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// A name without a variant; the message holds its text.
            Other,
        }

        impl Name {
            /// The canonical spelling; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Other => "" }
            }

            /// The name written as `text` in any case, in full or compact form.
            pub fn of(text: &str) -> Self {
                Self::of_octets(text.as_bytes())
            }

            /// The same for a name whose octets nobody has looked at.
            pub(super) fn of_octets(text: &[u8]) -> Self {
                if let [letter] = text {
                    return match letter.to_ascii_lowercase() {
                        $($( $compact => Self::$variant, )?)*
                        _ => Self::Other,
                    };
                }
                let mut at = slot(text);
                loop {
                    let (known, name) = TABLE[at];
                    // As it should be written, as it nearly always is: compared at memory speed.
                    if known == text || name == Self::Other || known.eq_ignore_ascii_case(text) {
                        return name;
                    }
                    at = (at + 1) % TABLE.len();
                }
            }
        }

        const ALL: &[Name] = &[$(Name::$variant),*];
    };
}

names! {
    Accept "Accept",
    AcceptContact "Accept-Contact" b'a',
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" b'u',
    Authorization "Authorization",
    CallId "Call-ID" b'i',
    CallInfo "Call-Info",
    Contact "Contact" b'm',
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" b'e',
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event" b'o',
    Expires "Expires",
    From "From" b'f',
    Geolocation "Geolocation",
    HistoryInfo "History-Info",
    Identity "Identity" b'y',
    InReplyTo "In-Reply-To",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAssertedIdentity "P-Asserted-Identity",
    PPreferredIdentity "P-Preferred-Identity",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    RecordRoute "Record-Route",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    RemotePartyId "Remote-Party-ID",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    Require "Require",
    RetryAfter "Retry-After",
    Route "Route",
    RSeq "RSeq",
    Server "Server",
    SessionExpires "Session-Expires" b'x',
    Subject "Subject" b's',
    SubscriptionState "Subscription-State",
    Supported "Supported" b'k',
    Timestamp "Timestamp",
    To "To" b't',
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    UserToUser "User-to-User",
    Via "Via" b'v',
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

/// The known names, with their text, in an open hash table, so that recognising one compares one or two.
static TABLE: [(&[u8], Name); 256] = {
    let mut table: [(&[u8], Name); 256] = [(&[], Name::Other); 256];
    let mut i = 0;
    while i < ALL.len() {
        let text = ALL[i].as_str().as_bytes();
        let mut at = slot(text);
        while !matches!(table[at].1, Name::Other) {
            at = (at + 1) % table.len();
        }
        table[at] = (text, ALL[i]);
        i += 1;
    }
    table
};

/// Where a name begins to be looked for in [`TABLE`]; the same for every case of its letters.
const fn slot(text: &[u8]) -> usize {
    match text {
        [first, .., last] => {
            let (first, last) = ((*first | 0x20) as usize, (*last | 0x20) as usize);
            (text.len() * 37 + first * 5 + last * 11) % 256
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &name in ALL {
            let text = name.as_str();
            assert_eq!(Name::of(text), name);
            assert_eq!(Name::of(&text.to_ascii_uppercase()), name);
            assert_eq!(Name::of(&text.to_ascii_lowercase()), name);
        }
    }

    #[test]
    fn compact_forms_are_the_same_names() {
        for (compact, name) in [("v", Name::Via), ("F", Name::From), ("i", Name::CallId), ("L", Name::ContentLength)] {
            assert_eq!(Name::of(compact), name);
        }
        assert_eq!(Name::of("q"), Name::Other);
        assert_eq!(Name::of(""), Name::Other);
        assert_eq!(Name::of("X-MS-SBC"), Name::Other);
    }
}
