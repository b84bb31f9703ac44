//! A call by script: what a tester writes down, one line a step.
//!
//! [`Platform`] begins calls here; what each party can do stands in `parties`, what is sent within the
//! dialog in `within`.

mod parties;
mod within;

use super::checks::dialog;
use super::media::Flow;
use super::octets::Plain;
use super::platform::{Happened, Inner, Leg, Platform};
use super::roles::Placed;
use super::text::Text;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a script waits for what it expects.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long the hub waits for the ACK to its 2xx (TDR-79: users see a drop after about 4 s).
pub const ACK_PATIENCE: Duration = Duration::from_secs(4);

/// What a script expected and did not get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unmet(pub String);

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unmet {}

/// One leg in the hands of a script.
#[derive(Debug)]
pub struct Call {
    inner: Arc<Inner>,
    call_id: String,
    mailbox: mpsc::Receiver<Happened>,
    /// What came while the script waited for something else.
    seen: Vec<Happened>,
}

impl Platform {
    /// Places a call: the INVITE leaves on a new connection.
    ///
    /// # Errors
    ///
    /// When the SBC cannot be reached.
    pub async fn place(&self, call: &Placed) -> Result<Call, Unmet> {
        let inner = self.0.clone();
        let connection =
            inner.connect().await.map_err(|error| Unmet(format!("{}: no connection: {error}", inner.side.name())))?;
        let ids = inner.ids(&call.from);
        let mut media = inner.side.media(ids.number);
        let offer = call.offer.then(|| media.offer(Flow::SendRecv));
        let (from, to) = inner.side.parties(call, inner.listeners[0]);
        let (call_id, from) = (ids.call_id.clone(), format!("{from};tag={}", ids.tag));
        let mut text = Text::request(inner.side.upper(), "INVITE", &inner.side.request_uri(&call.to));
        text.line("From", &from)
            .line("To", &to)
            .line("CSeq", "1 INVITE")
            .line("Call-ID", &call_id)
            .line("Max-Forwards", "70");
        for via in inner.side.vias(connection.local, inner.port(), &inner.branch()) {
            text.line("Via", &via);
        }
        for route in &ids.record_routes {
            text.line("Record-Route", route);
        }
        text.line("Contact", &format!("<{}>", ids.contact));
        inner.side.manners(&mut text, true);
        let body = offer.as_deref().unwrap_or("").as_bytes();
        if let Some(credentials) = inner.ahead(&inner.side.request_uri(&call.to), body) {
            text.line("Authorization", &credentials);
        }
        text.lines(call.extra.iter().map(|(name, value)| (name, value)));
        let octets = text.finish(offer.as_deref());
        let dialog = dialog::Dialog {
            contact: ids.contact.clone(),
            routes: ids.record_routes.clone(),
            local_tag: ids.tag.clone(),
            ..dialog::Dialog::default()
        };
        let invite = Plain::read(&octets).unwrap_or_default();
        let mailbox = inner.open(&call_id, |events| {
            let mut leg = Leg::new(ids, (from, to), dialog, invite, connection.clone(), (media, events));
            leg.offered = offer;
            leg
        });
        if !inner.begin(&connection, octets) {
            return Err(Unmet(format!("{}: the connection closed at once", inner.side.name())));
        }
        Ok(Call { inner, call_id, mailbox, seen: Vec::new() })
    }

    /// Waits for the next INVITE that the platform did not refuse.
    ///
    /// # Errors
    ///
    /// When none comes in time.
    pub async fn incoming(&self) -> Result<Call, Unmet> {
        let inner = self.0.clone();
        let next = async { inner.calls.lock().await.recv().await };
        match tokio::time::timeout(PATIENCE, next).await {
            Ok(Some((call_id, mailbox))) => Ok(Call { inner: self.0.clone(), call_id, mailbox, seen: Vec::new() }),
            Ok(None) | Err(_) => {
                Err(Unmet(format!("{}: no INVITE came in {} s", self.side().name(), PATIENCE.as_secs())))
            }
        }
    }

    /// Whether no INVITE is waiting for a script.
    pub async fn no_call(&self) -> bool {
        self.0.calls.lock().await.try_recv().is_err()
    }

    /// Sends OPTIONS to the SBC and waits for the answer (TDR-36, GEN-84).
    ///
    /// # Errors
    ///
    /// When none comes in time.
    pub async fn ping(&self) -> Result<Plain, Unmet> {
        let (inner, name) = (&self.0, self.side().name());
        let connection = inner.connect().await.map_err(|error| Unmet(format!("{name}: no connection: {error}")))?;
        let ids = inner.ids("ping");
        let mut text =
            Text::request(inner.side.upper(), "OPTIONS", &inner.side.request_uri("").replace("sip:@", "sip:"));
        let (from, to) = inner.side.parties(&Placed::new("ping", "ping"), inner.listeners[0]);
        text.line("From", &format!("{from};tag={}", ids.tag)).line("To", &to).line("CSeq", "1 OPTIONS");
        text.line("Call-ID", &ids.call_id).line("Max-Forwards", "70").line("Contact", &format!("<{}>", ids.contact));
        for via in inner.side.vias(connection.local, inner.port(), &inner.branch()) {
            text.line("Via", &via);
        }
        let octets = text.finish(None);
        let (call_id, sent) = (ids.call_id.clone(), Plain::read(&octets).unwrap_or_default());
        let media = inner.side.media(ids.number);
        let mailbox = inner.open(&call_id, |events| {
            Leg::new(ids, (from, to), dialog::Dialog::default(), sent, connection.clone(), (media, events))
        });
        inner.begin(&connection, octets);
        let mut call = Call { inner: self.0.clone(), call_id, mailbox, seen: Vec::new() };
        call.response("OPTIONS", |_| true).await
    }
}

impl Call {
    /// Call-ID of the leg.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The INVITE as it came, or was sent.
    pub fn invite(&self) -> Plain {
        self.leg(|leg| leg.invite.clone())
    }

    /// Gives the next request of the SBC on this leg this status instead of 200.
    pub fn refuse_next(&mut self, status: u16) {
        self.leg(|leg| leg.refuse = Some(status));
    }

    fn leg<T>(&self, with: impl FnOnce(&mut Leg) -> T) -> T
    where
        T: Default,
    {
        self.inner.state().legs.get_mut(&self.call_id).map(with).unwrap_or_default()
    }

    fn who(&self) -> &'static str {
        self.inner.side.name()
    }

    /// Waits for a request of the SBC with this method; others stay for later.
    ///
    /// # Errors
    ///
    /// When none comes in time.
    pub async fn request(&mut self, method: &str) -> Result<Plain, Unmet> {
        let wanted = method.to_owned();
        self.wait(method, move |happened| matches!(happened, Happened::Request(plain) if plain.method() == wanted))
            .await
    }

    /// Waits for a response to a request with this method that `fits`; others to it are dropped.
    async fn response(&mut self, method: &str, fits: impl Fn(&Plain) -> bool) -> Result<Plain, Unmet> {
        let what = format!("response to {method}");
        self.wait(
            &what,
            |happened| matches!(happened, Happened::Response(plain) if plain.method() == method && fits(plain)),
        )
        .await
    }

    async fn wait(&mut self, what: &str, fits: impl Fn(&Happened) -> bool) -> Result<Plain, Unmet> {
        if let Some(at) = self.seen.iter().position(&fits) {
            return Ok(plain_of(self.seen.remove(at)));
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline, self.mailbox.recv()).await {
                Ok(Some(happened)) if fits(&happened) => return Ok(plain_of(happened)),
                Ok(Some(happened)) => self.seen.push(happened),
                Ok(None) | Err(_) => {
                    let text = format!("{}: no {what} in {} s", self.who(), PATIENCE.as_secs());
                    return Err(Unmet(text));
                }
            }
        }
    }

    fn is(&self, response: Plain, status: u16) -> Result<Plain, Unmet> {
        if response.status() == status {
            return Ok(response);
        }
        Err(Unmet(format!("{}: {} instead of {status} to {}", self.who(), response.start, response.method())))
    }
}

fn plain_of(happened: Happened) -> Plain {
    match happened {
        Happened::Request(plain) | Happened::Response(plain) | Happened::Acknowledged(plain) => plain,
    }
}
