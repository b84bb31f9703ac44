//! A call by script: what a tester writes down, one line a step.

use super::checks::dialog;
use super::media::Flow;
use super::octets::Plain;
use super::platform::{Happened, Inner, Leg, Platform};
use super::roles::Placed;
use super::text::{Text, phrase};
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
        text.lines(call.extra.iter().map(|(name, value)| (name, value)));
        let octets = text.finish(offer.as_deref());
        let mailbox = inner.open(&call_id, |events| Leg {
            local: from,
            remote: to,
            target: String::new(),
            routes: Vec::new(),
            dialog: dialog::Dialog {
                contact: ids.contact.clone(),
                routes: ids.record_routes.clone(),
                local_tag: ids.tag.clone(),
                ..dialog::Dialog::default()
            },
            cseq: 1,
            invite: Plain::read(&octets).unwrap_or_default(),
            connection: connection.clone(),
            their_invite: None,
            acked: false,
            final_status: 0,
            ended: false,
            abandoned: false,
            media,
            offered: offer,
            their_last: None,
            their_contact: String::new(),
            their_tags: Vec::new(),
            refuse: None,
            offering: false,
            refused: 0,
            events,
            ids,
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
        let mailbox = inner.open(&ids.call_id.clone(), |events| Leg {
            local: from,
            remote: to,
            target: String::new(),
            routes: Vec::new(),
            dialog: dialog::Dialog::default(),
            cseq: 1,
            invite: Plain::read(&octets).unwrap_or_default(),
            connection: connection.clone(),
            their_invite: None,
            acked: false,
            final_status: 0,
            ended: false,
            abandoned: false,
            media: inner.side.media(ids.number),
            offered: None,
            their_last: None,
            their_contact: String::new(),
            their_tags: Vec::new(),
            refuse: None,
            offering: false,
            refused: 0,
            events,
            ids: ids.clone(),
        });
        inner.begin(&connection, octets);
        let mut call = Call { inner: self.0.clone(), call_id: ids.call_id, mailbox, seen: Vec::new() };
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

    // ── As the called party ────────────────────────────────────────────────

    /// Answers with a provisional response of one endpoint; each `fork` has a tag of its own (TDR-73).
    /// With `early`, it carries a description.
    pub fn ring(&mut self, fork: &str, status: u16, early: bool) {
        let sdp =
            early.then(|| self.leg(|leg| leg.their_last.clone().and_then(|offer| leg.media.answer(&offer)))).flatten();
        self.respond(status, fork, sdp.as_deref(), &[]);
    }

    /// Answers the call at one endpoint and waits for the ACK.
    ///
    /// # Errors
    ///
    /// When no ACK comes; the hub would drop the call with 408/1106 (TDR-79).
    pub async fn answer(&mut self, fork: &str) -> Result<(), Unmet> {
        let sdp = self.leg(|leg| match leg.their_last.clone() {
            Some(offer) => leg.media.answer(&offer),
            None => {
                leg.offered = Some(leg.media.offer(Flow::SendRecv));
                leg.offered.clone()
            }
        });
        let Some(sdp) = sdp else { return Err(Unmet(format!("{}: the offer cannot be answered", self.who()))) };
        self.respond(200, fork, Some(&sdp), &[]);
        self.acknowledged().await
    }

    /// Sends the 2xx once more, as one whose ACK was lost (RFC 3261 §13.3.1.4), and waits for the ACK.
    ///
    /// # Errors
    ///
    /// When no ACK comes.
    pub async fn answer_again(&mut self, fork: &str) -> Result<(), Unmet> {
        let sdp = self.leg(|leg| {
            leg.acked = false;
            leg.their_last.clone().and_then(|offer| leg.media.answer(&offer))
        });
        self.respond(200, fork, sdp.as_deref(), &[]);
        self.acknowledged().await
    }

    async fn acknowledged(&mut self) -> Result<(), Unmet> {
        match tokio::time::timeout(ACK_PATIENCE, self.request("ACK")).await {
            Ok(found) => found.map(drop),
            Err(_) => {
                self.inner.blame("TDR-79", "no ACK to a 2xx within 4 s".into());
                Err(Unmet(format!("{}: no ACK", self.who())))
            }
        }
    }

    /// Refuses the call and waits for the ACK. `lines` go into the response: Reason, Retry-After.
    ///
    /// # Errors
    ///
    /// When no ACK comes.
    pub async fn reject(&mut self, status: u16, lines: &[(&str, &str)]) -> Result<(), Unmet> {
        self.respond(status, "", None, lines);
        self.request("ACK").await.map(drop)
    }

    fn respond(&mut self, status: u16, fork: &str, sdp: Option<&str>, lines: &[(&str, &str)]) {
        let made = {
            let mut state = self.inner.state();
            let Some(leg) = state.legs.get_mut(&self.call_id) else { return };
            // A fork that answers is the dialog; before, each has its own.
            let tag = format!("{}{fork}", leg.ids.tag);
            if status >= 200 {
                leg.final_status = status;
            }
            leg.local = format!("{};tag={tag}", leg.invite.first("To"));
            leg.dialog.local_tag = tag.clone();
            let mut text = Text::response(self.inner.side.upper(), &leg.invite, status, phrase(status), &tag);
            if status < 300 {
                text.lines(leg.ids.record_routes.iter().map(|route| ("Record-Route", route)));
                text.line("Contact", &format!("<{}>", leg.ids.contact));
            }
            if (200..300).contains(&status) {
                self.inner.side.manners(&mut text, false);
                self.inner.side.interval(&mut text, &leg.invite);
            }
            text.lines(lines.iter().copied());
            (leg.connection.clone(), text.finish(sdp))
        };
        self.inner.send_on(&made.0, made.1);
    }

    /// Waits for the CANCEL of the SBC, which is answered at once, and for the ACK of the 487.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub async fn cancelled(&mut self) -> Result<Plain, Unmet> {
        let cancel = self.request("CANCEL").await?;
        self.request("ACK").await?;
        Ok(cancel)
    }

    // ── As the caller ──────────────────────────────────────────────────────

    /// Waits for a provisional response other than 100.
    ///
    /// # Errors
    ///
    /// When the next response is another, or none comes.
    pub async fn ringing(&mut self, status: u16) -> Result<Plain, Unmet> {
        let response = self.response("INVITE", |response| response.status() > 100).await?;
        self.is(response, status)
    }

    /// Waits for the 2xx, and until its ACK, which goes by itself, has left. Provisional responses are
    /// passed over.
    ///
    /// # Errors
    ///
    /// When the final response is another, or none comes.
    pub async fn answered(&mut self) -> Result<Plain, Unmet> {
        let response = self.refused(200).await?;
        self.wait("ACK to send", |happened| matches!(happened, Happened::Acknowledged(_))).await?;
        Ok(response)
    }

    /// Waits for a final response with this status. The ACK is sent by itself.
    ///
    /// # Errors
    ///
    /// When the final response is another, or none comes.
    pub async fn refused(&mut self, status: u16) -> Result<Plain, Unmet> {
        let response = self.outcome().await?;
        self.is(response, status)
    }

    /// Waits for the final response to the INVITE, whatever it is. The ACK is sent by itself.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub async fn outcome(&mut self) -> Result<Plain, Unmet> {
        self.response("INVITE", |response| response.status() >= 200).await
    }

    /// Cancels the INVITE; the 487 is for [`refused`](Self::refused).
    ///
    /// # Errors
    ///
    /// When the SBC does not take the CANCEL.
    pub async fn cancel(&mut self) -> Result<(), Unmet> {
        let (invite, connection) = self.leg(|leg| Some((leg.invite.clone(), leg.connection.clone()))).unzip();
        let (Some(invite), Some(connection)) = (invite, connection) else { return Ok(()) };
        let mut text = Text::request(self.inner.side.upper(), "CANCEL", invite.request_uri());
        text.line("From", invite.first("From"))
            .line("To", invite.first("To"))
            .line("CSeq", &format!("{} CANCEL", invite.cseq()));
        text.line("Call-ID", &self.call_id)
            .line("Max-Forwards", "70")
            .line("Via", invite.list("Via").first().unwrap_or(&""));
        self.inner.begin(&connection, text.finish(None));
        let response = self.response("CANCEL", |_| true).await?;
        self.is(response, 200).map(drop)
    }

    // ── As either ──────────────────────────────────────────────────────────

    /// Sends a re-INVITE on a new connection from another address, with an offer or without, and returns
    /// the 2xx once its ACK has left.
    ///
    /// # Errors
    ///
    /// When the final response is no 2xx, or none comes.
    pub async fn re_invite(&mut self, flow: Option<Flow>) -> Result<Plain, Unmet> {
        let response = self.offer("INVITE", flow).await?;
        let response = self.is(response, 200)?;
        self.wait("ACK to send", |happened| matches!(happened, Happened::Acknowledged(_))).await?;
        Ok(response)
    }

    /// Sends a re-INVITE and returns its final response, 491 included.
    ///
    /// # Errors
    ///
    /// When no final response comes.
    pub async fn try_re_invite(&mut self, flow: Flow) -> Result<Plain, Unmet> {
        self.offer("INVITE", Some(flow)).await
    }

    /// Sends a re-INVITE; after a 491 again, when the time of RFC 3261 §14.1 has passed.
    ///
    /// # Errors
    ///
    /// When it is refused otherwise, or five times by 491.
    pub async fn re_invite_until_taken(&mut self, flow: Flow) -> Result<(), Unmet> {
        for _ in 0..5 {
            let response = self.offer("INVITE", Some(flow)).await?;
            if response.status() != 491 {
                return self.is(response, 200).map(drop);
            }
            // The owner of the Call-ID waits longer, so that the next attempts do not meet.
            let owner = self.leg(|leg| leg.ids.call_id == leg.call_id());
            tokio::time::sleep(Duration::from_millis(if owner { 2100 } else { 1000 })).await;
        }
        Err(Unmet(format!("{}: 491 again and again", self.who())))
    }

    /// Sends UPDATE with an offer and returns the 2xx (RFC 3311).
    ///
    /// # Errors
    ///
    /// When the final response is no 2xx, or none comes.
    pub async fn update(&mut self, flow: Flow) -> Result<Plain, Unmet> {
        let response = self.offer("UPDATE", Some(flow)).await?;
        self.is(response, 200)
    }

    async fn offer(&mut self, method: &str, flow: Option<Flow>) -> Result<Plain, Unmet> {
        let offer = flow.map(|flow| self.leg(|leg| leg.media.offer(flow)));
        self.leg(|leg| leg.offered = offer.clone());
        self.leg(|leg| leg.offering = true);
        let response = self.send(method, offer.as_deref(), &[]).await;
        self.leg(|leg| leg.offering = false);
        response
    }

    /// Sends OPTIONS within the dialog.
    ///
    /// # Errors
    ///
    /// When no response comes.
    pub async fn probe(&mut self) -> Result<Plain, Unmet> {
        self.send("OPTIONS", None, &[]).await
    }

    /// Sends BYE on a new connection from another address and waits for its 200.
    ///
    /// # Errors
    ///
    /// When it gets another response, or none.
    pub async fn hang_up(&mut self) -> Result<(), Unmet> {
        let response = self.send("BYE", None, &[("Reason", "Q.850;cause=16")]).await?;
        self.is(response, 200).map(drop)
    }

    /// Waits for the BYE of the SBC, which is answered at once.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub async fn hung_up(&mut self) -> Result<Plain, Unmet> {
        self.request("BYE").await
    }

    /// Waits for a re-INVITE of the SBC, which is answered at once, and for its ACK.
    ///
    /// # Errors
    ///
    /// When either does not come.
    pub async fn re_invited(&mut self) -> Result<Plain, Unmet> {
        let invite = self.request("INVITE").await?;
        self.request("ACK").await?;
        Ok(invite)
    }

    /// Sends any request within the dialog on a new connection and returns the final response.
    ///
    /// # Errors
    ///
    /// When no final response comes.
    pub async fn send(&mut self, method: &str, sdp: Option<&str>, lines: &[(&str, &str)]) -> Result<Plain, Unmet> {
        let connection =
            self.inner.connect().await.map_err(|error| Unmet(format!("{}: no connection: {error}", self.who())))?;
        let branch = self.inner.branch();
        let octets = {
            let mut state = self.inner.state();
            let Some(leg) = state.legs.get_mut(&self.call_id) else { return Err(Unmet("no such leg".into())) };
            leg.cseq += 1;
            let cseq = leg.cseq;
            let mut text = self.inner.within(leg, method, cseq, connection.local, &branch);
            if matches!(method, "INVITE" | "UPDATE" | "REFER" | "SUBSCRIBE") {
                text.line("Contact", &format!("<{}>", leg.ids.contact));
            }
            if method == "INVITE" {
                self.inner.side.manners(&mut text, true);
            }
            text.lines(lines.iter().copied());
            text.finish(sdp)
        };
        self.inner.begin(&connection, octets);
        self.response(method, |response| response.status() >= 200).await
    }

    /// Sends a request whose To tag is not the SBC's and returns the final response (TDR-85).
    ///
    /// # Errors
    ///
    /// When no final response comes.
    pub async fn send_astray(&mut self, method: &str) -> Result<Plain, Unmet> {
        let right = self.leg(|leg| {
            let wrong = format!("{}x", leg.remote);
            std::mem::replace(&mut leg.remote, wrong)
        });
        let response = self.send(method, None, &[]).await;
        self.leg(|leg| {
            leg.remote = right;
            leg.ended = false;
        });
        response
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
