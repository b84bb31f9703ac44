//! What a platform does with what arrives: judge, answer as the platform would, tell the script.

use super::checks::{Breach, description, dialog, refusal, response, wire};
use super::media::Flow;
use super::network::Connection;
use super::octets::{Plain, PlainUri, address};
use super::platform::{Happened, Inner, Leg};
use super::roles::{HUB_ROUTE, Side};
use super::text::{Text, phrase};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The least time between two OPTIONS for one host (TDR-32: 60 s, less what clocks may differ by).
const OPTIONS_INTERVAL: Duration = Duration::from_secs(58);

impl Inner {
    /// Judges a message, notes it with what is wrong, and acts on it.
    pub(crate) fn receive(self: &Arc<Self>, octets: Bytes, connection: &Arc<Connection>) {
        let (plain, mut breaches) = match wire::read(&octets, &self.side.via_token()) {
            Ok(read) => read,
            // Not even lines can be told apart: nothing to answer with.
            Err(breach) => return self.note(false, connection, octets, Plain::default(), vec![breach]),
        };
        if plain.is_response() {
            self.response(&octets, plain, breaches, connection);
            return;
        }
        let key = (plain.branch().to_owned(), plain.method().to_owned());
        let repeated = plain.method() != "ACK" && self.state().servers.insert(key, 0).is_some();
        if repeated {
            let text = format!("{} repeated on a reliable transport", plain.method());
            breaches.push(Breach { rule: "RFC 3261 §17.1.2.2", text, status: None });
            return self.note(false, connection, octets, plain, breaches);
        }
        match (plain.method(), plain.tag("To").is_empty()) {
            ("ACK", _) => self.ack(octets, plain, breaches, connection),
            ("CANCEL", _) => self.cancel(octets, plain, breaches, connection),
            (_, false) => self.within_dialog(octets, plain, breaches, connection),
            (method, true) => {
                breaches.extend(self.side.request(&plain, &connection.names));
                let options = method == "OPTIONS";
                let refused = refusal(&breaches).cloned();
                let asked = if refused.is_none() { self.demand(&plain, &mut breaches) } else { None };
                if options && asked.is_none() {
                    breaches.extend(self.too_often(&plain));
                }
                self.note(false, connection, octets, plain.clone(), breaches);
                if let Some(challenge) = asked {
                    return self.challenge(&plain, &challenge, connection);
                }
                match refused {
                    Some(breach) => self.refuse(&plain, &breach, connection),
                    None if options => self.options(&plain, connection),
                    None if method == "INVITE" => self.invite(plain, connection),
                    None => self.reply(&plain, 405, "", connection),
                }
            }
        }
    }

    /// A short response of the platform's own.
    pub(crate) fn reply(&self, request: &Plain, status: u16, tag: &str, connection: &Connection) {
        let mut text = Text::response(self.side.upper(), request, status, phrase(status), tag);
        if status == 405 || request.method() == "OPTIONS" {
            self.side.manners(&mut text, false);
        }
        self.send_on(connection, text.finish(None));
    }

    /// Refuses as the platform would; the reason names the rule (TDR-92).
    fn refuse(&self, request: &Plain, breach: &Breach, connection: &Connection) {
        let status = breach.status.unwrap_or(400);
        let (_, number) = self.count();
        let mut text =
            Text::response(self.side.upper(), request, status, phrase(status), &format!("refused{number:x}"));
        // A quoted string has no quotes within.
        let words = breach.text.replace(['"', '\\'], "'");
        text.line("Reason", &format!("Q.850;cause=63;text=\"{}: {words}\"", breach.rule));
        match status {
            405 => self.side.manners(&mut text, false),
            422 => drop(text.line("Min-SE", "300")),
            420 => drop(
                text.line("Unsupported", &format!("{}{}", request.first("Require"), request.first("Proxy-Require"))),
            ),
            _ => {}
        }
        self.send_on(connection, text.finish(None));
    }

    /// TDR-32: not more than one OPTIONS in 60 s for one host.
    fn too_often(&self, plain: &Plain) -> Option<Breach> {
        let host = PlainUri::read(plain.request_uri()).host.to_owned();
        let last = self.state().options.insert(host.clone(), Instant::now());
        self.pinged.notify_waiters();
        let last = last?;
        let since = last.elapsed();
        (self.side.is_hub() && since < OPTIONS_INTERVAL).then(|| Breach {
            rule: "TDR-32",
            text: format!("OPTIONS for {host} {} s after the last", since.as_secs()),
            status: None,
        })
    }

    fn options(&self, plain: &Plain, connection: &Connection) {
        let status = match self.state().options_status {
            0 => 200,
            status => status,
        };
        let (_, number) = self.count();
        self.reply(plain, status, &format!("o{number:x}"), connection);
    }

    /// An INVITE that the platform takes: 100, then it waits for a script.
    fn invite(&self, plain: Plain, connection: &Arc<Connection>) {
        let user = PlainUri::read(address(plain.first("To")).uri).user.to_owned();
        let ids = self.ids(&user);
        let call_id = plain.first("Call-ID").to_owned();
        self.send_on(connection, Text::response(self.side.upper(), &plain, 100, "Trying", "").finish(None));
        let media = self.side.media(ids.number);
        let dialog = dialog::Dialog {
            contact: ids.contact.clone(),
            routes: ids.record_routes.iter().rev().cloned().collect(),
            local_tag: ids.tag.clone(),
            remote_tag: plain.tag("From").to_owned(),
            last_cseq: Some(plain.cseq()),
        };
        let parties = (format!("{};tag={}", plain.first("To"), ids.tag), plain.first("From").to_owned());
        let mailbox = self.open(&call_id, |events| {
            let mut leg = Leg::new(ids, parties, dialog, plain.clone(), connection.clone(), (media, events));
            leg.cseq = 0;
            leg.target = address(plain.first("Contact")).uri.to_owned();
            leg.routes = plain.list("Record-Route").into_iter().map(str::to_owned).collect();
            leg.their_invite = Some(plain.cseq());
            leg.their_last = plain.sdp().map(str::to_owned);
            leg.their_contact = plain.first("Contact").to_owned();
            leg
        });
        let _ = self.waiting.try_send((call_id, mailbox));
    }

    fn ack(&self, octets: Bytes, plain: Plain, mut breaches: Vec<Breach>, connection: &Connection) {
        let mut script = None;
        let mut state = self.state();
        match state.legs.get_mut(plain.first("Call-ID")) {
            None => {
                // An INVITE that was refused at once has no leg; its ACK repeats the branch (§17.1.1.3).
                let known = state.servers.contains_key(&(plain.branch().to_owned(), "INVITE".to_owned()));
                if !known {
                    breaches.push(Breach {
                        rule: "RFC 3261 §17.1.1.3",
                        text: "ACK for no INVITE".into(),
                        status: None,
                    });
                }
            }
            Some(leg) if leg.final_status >= 300 && plain.branch() == leg.invite.branch() => {
                if plain.tag("To") != leg.dialog.local_tag {
                    let text =
                        format!("ACK with To tag {:?}, the response had {:?}", plain.tag("To"), leg.dialog.local_tag);
                    breaches.push(Breach { rule: "RFC 3261 §17.1.1.3", text, status: None });
                }
                leg.acked = true;
                script = Some(leg.events.clone());
            }
            Some(leg) => {
                let in_dialog = dialog::request(&leg.dialog, self.side.rules(), &plain, leg.their_invite);
                breaches.extend(in_dialog.into_iter().map(|breach| Breach { status: None, ..breach }));
                if let (Some(answer), Some(offer)) = (plain.sdp(), leg.offered.take()) {
                    breaches.extend(description::answer(&offer, answer));
                }
                leg.acked = true;
                script = Some(leg.events.clone());
            }
        }
        drop(state);
        breaches.extend(self.misdialled(&plain, connection));
        breaches.extend(self.unproved(&plain));
        self.note(false, connection, octets, plain.clone(), breaches);
        tell(script.as_ref(), Happened::Request(plain));
    }

    fn cancel(&self, octets: Bytes, plain: Plain, mut breaches: Vec<Breach>, connection: &Connection) {
        let mut state = self.state();
        let found =
            state.legs.values_mut().find(|leg| leg.invite.branch() == plain.branch() && leg.their_invite.is_some());
        let Some(leg) = found else {
            drop(state);
            breaches.push(Breach { rule: "RFC 3261 §9.1", text: "CANCEL for no INVITE".into(), status: Some(481) });
            self.note(false, connection, octets, plain.clone(), breaches);
            return self.reply(&plain, 481, "cancel", connection);
        };
        let same = ["From", "To", "Call-ID", "Via", "Route"]
            .into_iter()
            .find(|name| plain.list(name).first() != leg.invite.list(name).first());
        let line = plain.request_uri() == leg.invite.request_uri() && plain.cseq() == leg.invite.cseq();
        if let Some(name) = same.or((!line).then_some("Request-URI or CSeq")) {
            let text = format!("{name} of CANCEL differs from its INVITE");
            breaches.push(Breach { rule: "RFC 3261 §9.1", text, status: None });
        }
        let (invite, tag, pending, on) =
            (leg.invite.clone(), leg.dialog.local_tag.clone(), leg.final_status == 0, leg.connection.clone());
        if pending {
            leg.final_status = 487;
        }
        let script = leg.events.clone();
        drop(state);
        self.note(false, connection, octets, plain.clone(), breaches);
        self.reply(&plain, 200, &tag, connection);
        if pending {
            self.reply(&invite, 487, &tag, &on);
        }
        tell(Some(&script), Happened::Request(plain));
    }

    /// A request within a dialog: judged against it, answered at once.
    fn within_dialog(&self, octets: Bytes, plain: Plain, mut breaches: Vec<Breach>, connection: &Arc<Connection>) {
        breaches.extend(self.side.in_dialog(&plain, &connection.names));
        breaches.extend(self.misdialled(&plain, connection));
        let mut state = self.state();
        let Some(leg) = state.legs.get_mut(plain.first("Call-ID")).filter(|leg| !leg.ended) else {
            // BYEs that cross each other are no fault (RFC 3261 §15.1.2).
            let crossed = plain.method() == "BYE" && state.legs.contains_key(plain.first("Call-ID"));
            drop(state);
            if !crossed {
                let text = format!("{} for a dialog that is not there", plain.method());
                breaches.push(Breach { rule: "RFC 3261 §12.2.2", text, status: Some(481) });
            }
            self.note(false, connection, octets, plain.clone(), breaches);
            return self.reply(&plain, 481, "", connection);
        };
        breaches.extend(dialog::request(&leg.dialog, self.side.rules(), &plain, leg.their_invite));
        breaches.extend(contact_moved(&self.side, leg, &plain));
        let refused = refusal(&breaches).cloned();
        let asked = if refused.is_none() { self.demand(&plain, &mut breaches) } else { None };
        if let Some(challenge) = asked {
            leg.dialog.last_cseq = Some(plain.cseq());
            if plain.method() == "INVITE" {
                leg.their_invite = Some(plain.cseq());
            }
            drop(state);
            self.note(false, connection, octets, plain.clone(), breaches);
            return self.challenge(&plain, &challenge, connection);
        }
        let mut sdp = None;
        let mut status = 200;
        if refused.is_none() {
            leg.dialog.last_cseq = Some(plain.cseq());
            // Two re-INVITEs that meet are both refused (RFC 3261 §14.1).
            let met = plain.method() == "INVITE" && leg.offering;
            status = leg.refuse.take().unwrap_or(if met { 491 } else { 200 });
            match plain.method() {
                "INVITE" if status == 200 => {
                    (leg.their_invite, leg.acked) = (Some(plain.cseq()), false);
                    leg.retarget(&plain);
                    if let (Some(before), Some(after)) = (&leg.their_last, plain.sdp()) {
                        breaches.extend(description::successor(before, after, self.side.is_hub(), leg.refused));
                        // A version that an offer used up stays used up until a later one counts.
                        leg.refused = if before == after { leg.refused } else { 0 };
                    }
                    sdp = match plain.sdp() {
                        Some(offer) => leg.media.answer(offer),
                        None => Some(leg.media.offer(Flow::SendRecv)),
                    };
                    match plain.sdp() {
                        Some(offer) => leg.their_last = Some(offer.to_owned()),
                        None => leg.offered = sdp.clone(),
                    }
                    status = if sdp.is_some() { 200 } else { 488 };
                }
                "INVITE" => {
                    leg.their_invite = Some(plain.cseq());
                    leg.refused += 1;
                }
                "BYE" => leg.ended = true,
                _ => {}
            }
        }
        let (script, contact) = (leg.events.clone(), leg.ids.contact.clone());
        drop(state);
        self.note(false, connection, octets, plain.clone(), breaches);
        match refused {
            Some(breach) => self.refuse(&plain, &breach, connection),
            None if plain.method() == "INVITE" && status == 200 => {
                let mut text = Text::response(self.side.upper(), &plain, 200, "OK", "");
                text.line("Contact", &format!("<{contact}>"));
                self.side.manners(&mut text, false);
                self.side.interval(&mut text, &plain);
                self.send_on(connection, text.finish(sdp.as_deref()));
            }
            None => self.reply(&plain, status, "", connection),
        }
        tell(Some(&script), Happened::Request(plain));
    }

    /// TDR-83: a request that the SBC sends on a connection of its own goes to the Record-Route host.
    fn misdialled(&self, plain: &Plain, connection: &Connection) -> Option<Breach> {
        let route = self.listeners.get(1)?;
        // An ACK for a final response other than 2xx follows its INVITE (RFC 3261 §17.1.1.3).
        let hop_by_hop = plain.method() == "ACK" && !plain.has("Route");
        let wrong = !connection.dialled && connection.local.ip() != route.ip() && !hop_by_hop;
        (wrong && self.side.is_hub()).then(|| Breach {
            rule: "TDR-83",
            text: format!("{} came to {}, Record-Route was {HUB_ROUTE} at {route}", plain.method(), connection.local),
            status: None,
        })
    }

    fn response(self: &Arc<Self>, octets: &Bytes, plain: Plain, mut breaches: Vec<Breach>, connection: &Connection) {
        let key = (plain.branch().to_owned(), plain.method().to_owned());
        let mut state = self.state();
        let Some(client) = state.clients.get_mut(&key) else {
            drop(state);
            let text = format!("{} for no request", plain.status());
            breaches.push(Breach { rule: "RFC 3261 §17.1.3", text, status: None });
            return self.note(false, connection, octets.clone(), plain, breaches);
        };
        breaches.extend(response::response(&client.request, &plain));
        breaches.extend(self.side.response(&plain, &connection.names));
        let (before, status) = (client.final_status, plain.status());
        if status >= 200 {
            client.final_status = status;
        }
        let repeated = before != 0;
        let again = client.ack.clone().filter(|_| (200..300).contains(&status));
        if repeated && again.is_none() {
            let text = format!("{status} after {before} to {}", plain.method());
            breaches.push(Breach { rule: "RFC 3261 §17.2.1", text, status: None });
        }
        let (request, on) = (client.request.clone(), client.connection.clone());
        let mut script = None;
        if !repeated && let Some(leg) = state.legs.get_mut(plain.first("Call-ID")) {
            breaches.extend(self.on_leg(leg, &request, &plain));
            script = Some(leg.events.clone());
        }
        drop(state);
        let invite = plain.method() == "INVITE" && !repeated;
        let proof = if invite { self.proof(&request, &plain, &mut breaches) } else { None };
        self.note(false, connection, octets.clone(), plain.clone(), breaches);
        match status {
            // A 2xx that comes again wants its ACK again (RFC 3261 §13.2.2.4).
            _ if again.is_some() => drop(again.map(|ack| self.send_on(&on, ack))),
            200..300 if invite => {
                let (inner, response) = (self.clone(), plain.clone());
                tokio::spawn(async move { inner.acknowledge(key, &response).await });
            }
            300.. if invite => {
                let mut text = Text::request(self.side.upper(), "ACK", request.request_uri());
                text.line("From", request.first("From")).line("To", plain.first("To"));
                text.line("CSeq", &format!("{} ACK", request.cseq())).line("Call-ID", request.first("Call-ID"));
                text.line("Max-Forwards", "70").line("Via", request.list("Via").first().unwrap_or(&""));
                text.lines(request.all("Route").map(|route| ("Route", route)));
                self.send_on(&on, text.finish(None));
            }
            _ => {}
        }
        if let Some(text) = proof {
            return self.call_again(text, &request, &on);
        }
        tell(script.as_ref(), Happened::Response(plain));
    }

    /// What a response tells about the leg of its request.
    fn on_leg(&self, leg: &mut Leg, request: &Plain, plain: &Plain) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let status = plain.status();
        if request.method() == "BYE" && status >= 200 {
            leg.ended = true;
        }
        if !matches!(request.method(), "INVITE" | "UPDATE") || status == 100 {
            return breaches;
        }
        let initial = request.tag("To").is_empty();
        if status >= 200 {
            leg.offering = false;
        }
        if initial && status < 300 {
            let tag = plain.tag("To").to_owned();
            if !leg.their_tags.contains(&tag) {
                leg.their_tags.push(tag.clone());
            }
            if leg.their_tags.len() > 1 {
                let rule = if self.side.is_hub() { "RFC 3261 §12.1.1" } else { "GEN-44" };
                breaches.push(Breach { rule, text: format!("several To tags: {:?}", leg.their_tags), status: None });
            }
            leg.dialog.remote_tag = tag;
            leg.remote = plain.first("To").to_owned();
            leg.routes = plain.list("Record-Route").into_iter().rev().map(str::to_owned).collect();
            // A platform that is caller sees its own Record-Route again in the answer; it does not route
            // through itself.
            let own: Vec<&str> = leg.ids.record_routes.iter().map(|value| address(value).uri).collect();
            leg.routes.retain(|route| !own.contains(&address(route).uri));
        }
        if initial && status >= 200 {
            leg.final_status = status;
        }
        if status < 300 {
            breaches.extend(contact_moved(&self.side, leg, plain));
            leg.retarget(plain);
            if let Some(sdp) = plain.sdp() {
                if let Some(offer) = &leg.offered {
                    breaches.extend(description::answer(offer, sdp));
                }
                if let Some(before) = leg.their_last.as_ref().filter(|_| initial && leg.offered.is_some()) {
                    // One offer has one answer, whatever the number of responses (TDR-81, RFC 6337 §2).
                    if before != sdp {
                        let text = "the answer of the 2xx differs from that of the 18x".into();
                        breaches.push(Breach { rule: "TDR-81", text, status: None });
                    }
                } else if let Some(before) = &leg.their_last {
                    breaches.extend(description::successor(before, sdp, self.side.is_hub(), leg.refused));
                    leg.refused = if before == sdp { leg.refused } else { 0 };
                }
                leg.their_last = Some(sdp.to_owned());
            }
        }
        breaches
    }

    /// Acknowledges a 2xx, on a new connection from the next address as both platforms may do (TDR-22).
    async fn acknowledge(&self, key: (String, String), response: &Plain) {
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return self.blame("TDR-22", format!("no connection for the ACK: {error}")),
        };
        let octets = {
            let mut state = self.state();
            let Some(leg) = state.legs.get_mut(response.first("Call-ID")) else { return };
            // A 2xx to an INVITE without offer is an offer itself.
            let answer = match (leg.offered.take(), response.sdp()) {
                (None, Some(offer)) => leg.media.answer(offer),
                _ => None,
            };
            drop(state);
            let branch = self.branch();
            let state = self.state();
            let Some(leg) = state.legs.get(response.first("Call-ID")) else { return };
            self.within(leg, "ACK", response.cseq(), connection.local, &branch).finish(answer.as_deref())
        };
        if let Some(client) = self.state().clients.get_mut(&key) {
            (client.ack, client.connection) = (Some(octets.clone()), connection.clone());
        }
        let ack = Plain::read(&octets).unwrap_or_default();
        self.send_on(&connection, octets);
        let script = self.state().legs.get(response.first("Call-ID")).map(|leg| leg.events.clone());
        tell(script.as_ref(), Happened::Acknowledged(ack));
    }
}

/// Tells a script what happened, once it is in the trace; one that no longer listens is no harm.
fn tell(script: Option<&mpsc::Sender<Happened>>, happened: Happened) {
    if let Some(script) = script {
        let _ = script.try_send(happened);
    }
}

/// TDR-53: the SBC's Contact stays for the life of the dialog.
fn contact_moved(side: &Side, leg: &mut Leg, plain: &Plain) -> Option<Breach> {
    let contact = plain.first("Contact");
    if contact.is_empty() {
        return None;
    }
    let before = std::mem::replace(&mut leg.their_contact, contact.to_owned());
    (side.is_hub() && !before.is_empty() && before != contact).then(|| Breach {
        rule: "TDR-53",
        text: format!("Contact changed from {before} to {contact}"),
        status: None,
    })
}
