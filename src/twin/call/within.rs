//! What either party sends within the dialog: each request on a new connection from another address.

use super::{Call, Unmet};
use crate::twin::media::Flow;
use crate::twin::octets::Plain;
use crate::twin::platform::Happened;
use std::time::Duration;

/// How often an offer that meets 491 is made.
const ATTEMPTS: u32 = 4;

/// How long the owner of the Call-ID waits after a 491: the least that RFC 3261 §14.1 allows.
const OWNER_PAUSE: Duration = Duration::from_millis(2100);

/// How long the other side waits: within the 2 s of RFC 3261 §14.1.
const OTHER_PAUSE: Duration = Duration::from_millis(300);

impl Call {
    /// Sends a re-INVITE on a new connection from another address, with an offer or without, and returns
    /// the 2xx once its ACK has left. After a 491 it tries again, as both platforms have to.
    ///
    /// # Errors
    ///
    /// When it is refused otherwise, or again and again, or no final response comes.
    pub async fn re_invite(&mut self, flow: Option<Flow>) -> Result<Plain, Unmet> {
        let response = self.offer_until_taken("INVITE", flow).await?;
        self.wait("ACK to send", |happened| matches!(happened, Happened::Acknowledged(_))).await?;
        Ok(response)
    }

    /// Sends a re-INVITE once and returns its final response, 491 included.
    ///
    /// # Errors
    ///
    /// When no final response comes.
    pub async fn try_re_invite(&mut self, flow: Flow) -> Result<Plain, Unmet> {
        let response = self.offer("INVITE", Some(flow)).await?;
        if response.status() == 200 {
            self.wait("ACK to send", |happened| matches!(happened, Happened::Acknowledged(_))).await?;
        }
        Ok(response)
    }

    /// Sends UPDATE with an offer and returns the 2xx (RFC 3311).
    ///
    /// # Errors
    ///
    /// As for [`re_invite`](Self::re_invite).
    pub async fn update(&mut self, flow: Flow) -> Result<Plain, Unmet> {
        self.offer_until_taken("UPDATE", Some(flow)).await
    }

    /// Offers; after a 491 again, when the time of RFC 3261 §14.1 has passed.
    async fn offer_until_taken(&mut self, method: &str, flow: Option<Flow>) -> Result<Plain, Unmet> {
        for _ in 0..ATTEMPTS {
            let response = self.offer(method, flow).await?;
            if response.status() != 491 {
                return self.is(response, 200);
            }
            // The owner of the Call-ID waits longer, so that the next attempts do not meet.
            let owner = self.leg(|leg| leg.ids.call_id == leg.call_id());
            tokio::time::sleep(if owner { OWNER_PAUSE } else { OTHER_PAUSE }).await;
        }
        Err(Unmet(format!("{}: 491 again and again", self.who())))
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
}
