//! What the called party and the caller do until the call is answered or not.

use super::{ACK_PATIENCE, Call, Unmet};
use crate::twin::media::Flow;
use crate::twin::octets::Plain;
use crate::twin::platform::Happened;
use crate::twin::text::{Text, phrase};

impl Call {
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
}
