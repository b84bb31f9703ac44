//! Values of single header fields that have a grammar of their own, decoded when somebody asks.
//!
//! Each type reads one value, borrows from it, and where Tandem writes the field itself, prints it the
//! way the RFC has it.

use super::address::NameAddr;
use super::message::{Message, is_token};
use super::method::Method;
use super::name::Name;
use super::text::{Params, ValueError, decimal, find_unquoted, quote, unquote};
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

    /// Whether privacy is asked for this entry (RFC 7044 §10.1.2).
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
