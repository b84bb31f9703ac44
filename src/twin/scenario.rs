//! Call flows between the platforms, each a script of both sides.
//!
//! A scenario says what each platform does and what it must see; the platforms judge every message on
//! the way. [`play`] runs one and returns what was seen, for the demo to draw and for tests to assert.

use super::call::{Call, Unmet};
use super::checks::{Breach, description};
use super::lab::{ALICE, BOB, CUSTOMER, Lab, NOBODY, QUEUE, STALE, UNASSIGNED};
use super::ladder::{self, Ladder};
use super::media::Flow;
use super::octets::{Plain, PlainUri, address};
use super::platform::Platform;
use super::roles::Placed;

/// Which scenario.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scenario {
    /// Both platforms are pinged and ping (TDR-30, 36; GEN-84).
    Health,
    /// Genesys calls a Teams user, who answers and hangs up.
    GenesysToTeams,
    /// Genesys calls a Teams user and hangs up.
    GenesysHangsUp,
    /// A Teams user calls a queue, which answers and hangs up.
    TeamsToGenesys,
    /// A Teams user calls a queue and hangs up.
    TeamsHangsUp,
    /// The Teams user is busy (TDR-91, 122; GEN-80).
    Busy,
    /// The Teams user declines.
    Declined,
    /// The number belongs to nobody (TDR-46).
    UnknownNumber,
    /// The directory has a number that Teams no longer has (GEN-95).
    StaleNumber,
    /// A Teams user calls a number that Genesys has not assigned (GEN-17).
    UnassignedNumber,
    /// Genesys gives up while Teams rings (GEN-82).
    GenesysCancels,
    /// Teams gives up while Genesys rings.
    TeamsCancels,
    /// The Teams user holds and resumes (TDR-94).
    TeamsHolds,
    /// Genesys holds in every form there is and resumes (TDR-93, GEN-42).
    GenesysHolds,
    /// Genesys sends a re-INVITE without offer (GEN-45).
    OfferlessReInvite,
    /// Three endpoints ring, one sends early media, another answers (TDR-73, GEN-44).
    Forked,
    /// A caller who withholds the number (TDR-51, GEN-58).
    Anonymous,
    /// All connections are lost in mid-call; the call goes on (TDR-79, 80; GEN-36).
    ConnectionsLost,
    /// The ACK of Teams' 200 is asked for again (RFC 3261 §13.2.2.4).
    AnswerRepeated,
    /// The first hub host is draining: 503 with Retry-After (TDR-123).
    HubFailover,
    /// Genesys calls without an offer, which Teams does not take (TDR-55).
    OfferlessCall,
    /// Both sides hang up at the same moment.
    BothHangUp,
}

/// What was played.
#[derive(Debug)]
pub struct Played {
    /// Which scenario.
    pub scenario: Scenario,
    /// What a script expected and did not get; `None` when all went as written.
    pub unmet: Option<Unmet>,
    /// The rules that Tandem broke, with the platform that says so.
    pub breaches: Vec<(&'static str, Breach)>,
    /// Both legs.
    pub ladder: Ladder,
}

impl Played {
    /// Whether everything was as it should be.
    pub fn is_good(&self) -> bool {
        self.unmet.is_none() && self.breaches.is_empty()
    }
}

impl Scenario {
    /// Every scenario, in the order of the demo.
    pub const ALL: [Self; 22] = [
        Self::Health,
        Self::GenesysToTeams,
        Self::GenesysHangsUp,
        Self::TeamsToGenesys,
        Self::TeamsHangsUp,
        Self::Busy,
        Self::Declined,
        Self::UnknownNumber,
        Self::StaleNumber,
        Self::UnassignedNumber,
        Self::GenesysCancels,
        Self::TeamsCancels,
        Self::TeamsHolds,
        Self::GenesysHolds,
        Self::OfferlessReInvite,
        Self::Forked,
        Self::Anonymous,
        Self::ConnectionsLost,
        Self::AnswerRepeated,
        Self::HubFailover,
        Self::OfferlessCall,
        Self::BothHangUp,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::GenesysToTeams => "genesys-to-teams",
            Self::GenesysHangsUp => "genesys-hangs-up",
            Self::TeamsToGenesys => "teams-to-genesys",
            Self::TeamsHangsUp => "teams-hangs-up",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::UnknownNumber => "unknown-number",
            Self::StaleNumber => "stale-number",
            Self::UnassignedNumber => "unassigned-number",
            Self::GenesysCancels => "genesys-cancels",
            Self::TeamsCancels => "teams-cancels",
            Self::TeamsHolds => "teams-holds",
            Self::GenesysHolds => "genesys-holds",
            Self::OfferlessReInvite => "offerless-re-invite",
            Self::Forked => "forked",
            Self::Anonymous => "anonymous",
            Self::ConnectionsLost => "connections-lost",
            Self::AnswerRepeated => "answer-repeated",
            Self::HubFailover => "hub-failover",
            Self::OfferlessCall => "offerless-call",
            Self::BothHangUp => "both-hang-up",
        }
    }

    /// What happens in it, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Health => "Tandem asks every host of both platforms how it is, and answers when asked",
            Self::GenesysToTeams => "Genesys calls a Teams user; the user answers and hangs up",
            Self::GenesysHangsUp => "Genesys calls a Teams user; the user answers, Genesys hangs up",
            Self::TeamsToGenesys => "A Teams user calls a queue; Genesys answers and hangs up",
            Self::TeamsHangsUp => "A Teams user calls a queue; Genesys answers, the user hangs up",
            Self::Busy => "The Teams user is busy: Genesys hears 486 with a cause it does not retry",
            Self::Declined => "The Teams user declines: Genesys hears 603, nobody tries again",
            Self::UnknownNumber => "Genesys dials a number that nobody has: 404, Teams sees nothing",
            Self::StaleNumber => "Genesys dials a number that Teams no longer has: 404, once",
            Self::UnassignedNumber => "A Teams user dials a number that Genesys has not assigned: 404",
            Self::GenesysCancels => "Genesys gives up while Teams rings",
            Self::TeamsCancels => "A Teams user gives up while Genesys rings",
            Self::TeamsHolds => "The Teams user holds and resumes",
            Self::GenesysHolds => {
                "Genesys holds by sendonly, inactive and 0.0.0.0, and resumes: Teams sees inactive only"
            }
            Self::OfferlessReInvite => "Genesys asks for an offer: Teams is asked with one",
            Self::Forked => "Three endpoints of the user ring; Genesys sees one dialog",
            Self::Anonymous => "A caller withholds the number: it stands nowhere",
            Self::ConnectionsLost => "Every connection is lost in mid-call; the call goes on and ends in order",
            Self::AnswerRepeated => "Teams repeats its answer: it is acknowledged again",
            Self::HubFailover => "The first hub host says 503: the call goes to the next at once",
            Self::OfferlessCall => "Genesys calls without an offer: refused here, for Teams takes none",
            Self::BothHangUp => "Both sides hang up at the same moment",
        }
    }

    /// The scenario of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.name() == name)
    }
}

/// Plays one scenario; both platforms forget what was before it.
pub async fn play(lab: &Lab, scenario: Scenario) -> Played {
    if scenario != Scenario::Health {
        lab.forget();
    }
    let mut unmet = run(lab, scenario).await.err();
    if unmet.is_none() {
        unmet = nothing_left(lab).err();
    }
    let (genesys, hub) = (lab.genesys.trace(), lab.hub.trace());
    let breaches = [("Genesys", &genesys), ("Teams", &hub)].into_iter().flat_map(|(side, trace)| {
        trace.iter().flat_map(move |traced| traced.breaches.iter().map(move |breach| (side, breach.clone())))
    });
    Played { scenario, unmet, breaches: breaches.collect(), ladder: ladder::draw(&genesys, &hub) }
}

/// Never a call with one leg: what began has ended on both sides.
fn nothing_left(lab: &Lab) -> Result<(), Unmet> {
    for platform in [&lab.genesys, &lab.hub] {
        let left = platform.live_legs();
        if !left.is_empty() {
            return Err(Unmet(format!("{}: legs that have not ended: {}", platform.side().name(), left.join(", "))));
        }
    }
    Ok(())
}

async fn run(lab: &Lab, scenario: Scenario) -> Result<(), Unmet> {
    let Lab { hub, genesys, .. } = lab;
    match scenario {
        Scenario::Health => health(hub, genesys).await,
        Scenario::GenesysToTeams => {
            let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
            expect(callee.invite().has("X-MS-SBC"), "TDR-61: X-MS-SBC is in the INVITE")?;
            hang_up(&mut callee, &mut caller).await
        }
        Scenario::GenesysHangsUp => {
            let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, BOB).await?;
            hang_up(&mut caller, &mut callee).await
        }
        Scenario::TeamsToGenesys => {
            let (mut caller, mut callee) = connect(hub, genesys, ALICE, QUEUE).await?;
            hang_up(&mut callee, &mut caller).await
        }
        Scenario::TeamsHangsUp => {
            let (mut caller, mut callee) = connect(hub, genesys, ALICE, QUEUE).await?;
            hang_up(&mut caller, &mut callee).await
        }
        Scenario::Busy => {
            let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
            let mut callee = hub.incoming().await?;
            callee.reject(486, &[("Reason", "Q.850;cause=34;text=\"busy here\"")]).await?;
            caller.refused(486).await?;
            once(hub).await
        }
        Scenario::Declined => {
            let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
            let mut callee = hub.incoming().await?;
            callee.ring("", 180, false);
            caller.ringing(180).await?;
            callee.reject(603, &[]).await?;
            caller.refused(603).await?;
            once(hub).await
        }
        Scenario::UnknownNumber => {
            let mut caller = genesys.place(&Placed::new(CUSTOMER, NOBODY)).await?;
            caller.refused(404).await?;
            expect(invites(hub) == 0, "Teams sees nothing of a number that nobody has")
        }
        Scenario::StaleNumber => {
            let mut caller = genesys.place(&Placed::new(CUSTOMER, STALE)).await?;
            caller.refused(404).await?;
            // The hub says that nobody has this number, which is what is played here and no breach.
            hub.expected("TDR-46");
            expect(invites(hub) == 1, "GEN-95: the number is tried once")
        }
        Scenario::UnassignedNumber => {
            let mut caller = hub.place(&Placed::new(ALICE, UNASSIGNED)).await?;
            caller.refused(404).await?;
            genesys.expected("GEN-17");
            Ok(())
        }
        Scenario::GenesysCancels => cancelled(genesys, hub, CUSTOMER, ALICE).await,
        Scenario::TeamsCancels => cancelled(hub, genesys, ALICE, QUEUE).await,
        Scenario::TeamsHolds => {
            let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
            crosses(&mut callee, &mut caller, Flow::Inactive, "inactive", "inactive").await?;
            crosses(&mut callee, &mut caller, Flow::SendRecv, "sendrecv", "sendrecv").await?;
            hang_up(&mut caller, &mut callee).await
        }
        Scenario::GenesysHolds => {
            let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
            for (flow, answer) in [(Flow::SendOnly, "recvonly"), (Flow::Inactive, "inactive"), (Flow::Zero, "recvonly")]
            {
                hold(&mut caller, &mut callee, flow, answer).await?;
                crosses(&mut caller, &mut callee, Flow::SendRecv, "sendrecv", "sendrecv").await?;
            }
            hang_up(&mut caller, &mut callee).await
        }
        Scenario::OfferlessReInvite => {
            let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
            let (asked, seen) = tokio::join!(caller.re_invite(None), callee.re_invited());
            expect(asked?.sdp().is_some(), "the 2xx to a re-INVITE without offer has one")?;
            expect(seen?.sdp().is_some(), "GEN-45: Teams is asked with an offer")?;
            hang_up(&mut callee, &mut caller).await
        }
        Scenario::Forked => forked(hub, genesys).await,
        Scenario::Anonymous => {
            let call = Placed::new("anonymous", ALICE).with("Privacy", "id");
            let call = call.with("P-Asserted-Identity", &format!("<sip:{CUSTOMER}@example.com>"));
            let (mut caller, mut callee) = connected(genesys, hub, &call).await?;
            let invite = callee.invite();
            let shown = invite.lines.iter().find(|(_, value)| value.contains(&CUSTOMER[1..]));
            expect(shown.is_none(), "TDR-51: the number of an anonymous caller stands nowhere")?;
            hang_up(&mut caller, &mut callee).await
        }
        Scenario::ConnectionsLost => {
            let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
            genesys.cut_connections();
            hub.cut_connections();
            crosses(&mut callee, &mut caller, Flow::Inactive, "inactive", "inactive").await?;
            genesys.cut_connections();
            hub.cut_connections();
            hang_up(&mut caller, &mut callee).await
        }
        Scenario::AnswerRepeated => {
            let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
            callee.answer_again("").await?;
            hang_up(&mut caller, &mut callee).await
        }
        Scenario::HubFailover => {
            let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
            let mut first = hub.incoming().await?;
            first.reject(503, &[("Retry-After", "1")]).await?;
            let mut second = hub.incoming().await?;
            let (one, two) = (first.invite(), second.invite());
            expect(one.branch() != two.branch(), "the second attempt has a branch of its own")?;
            let (answer, answered) = tokio::join!(second.answer(""), caller.answered());
            answer.and(answered.map(drop))?;
            hang_up(&mut caller, &mut second).await
        }
        Scenario::OfferlessCall => {
            let mut call = Placed::new(CUSTOMER, ALICE);
            call.offer = false;
            let mut caller = genesys.place(&call).await?;
            caller.refused(488).await?;
            expect(invites(hub) == 0, "TDR-55: Teams sees no INVITE without offer")
        }
        Scenario::BothHangUp => {
            let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
            // Either BYE may find the dialog gone already: 200 and 481 both end it (RFC 3261 §15.1.2).
            let (one, two) = tokio::join!(caller.send("BYE", None, &[]), callee.send("BYE", None, &[]));
            let ends = |response: &Plain| matches!(response.status(), 200 | 481);
            let (one, two) = (one?, two?);
            expect(ends(&one) && ends(&two), "each BYE is answered")
        }
    }
}

async fn health(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    for (platform, hosts) in [(hub, 3), (genesys, 1)] {
        platform.pinged(hosts).await?;
        let answer = platform.ping().await?;
        expect(answer.status() == 200, "OPTIONS of a platform gets 200")?;
    }
    Ok(())
}

async fn forked(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
    let mut callee = hub.incoming().await?;
    callee.ring("a", 180, false);
    let ringing = caller.ringing(180).await?;
    callee.ring("b", 180, false);
    callee.ring("b", 183, true);
    let (answer, answered) = tokio::join!(callee.answer("c"), caller.answered());
    answer?;
    let answered = answered?;
    expect(ringing.tag("To") == answered.tag("To"), "GEN-44: one To tag toward Genesys")?;
    expect(ringing.sdp().is_none(), "TDR-76: 18x without description by default")?;
    hang_up(&mut callee, &mut caller).await
}

async fn cancelled(from: &Platform, to: &Platform, caller: &str, number: &str) -> Result<(), Unmet> {
    let mut caller = from.place(&Placed::new(caller, number)).await?;
    let mut callee = to.incoming().await?;
    callee.ring("", 180, false);
    caller.ringing(180).await?;
    let (gave_up, seen) = tokio::join!(caller.cancel(), callee.cancelled());
    gave_up.and(seen.map(drop))?;
    caller.refused(487).await.map(drop)
}

/// A call that rings and is answered.
async fn connect(from: &Platform, to: &Platform, caller: &str, number: &str) -> Result<(Call, Call), Unmet> {
    connected(from, to, &Placed::new(caller, number)).await
}

async fn connected(from: &Platform, to: &Platform, call: &Placed) -> Result<(Call, Call), Unmet> {
    let mut caller = from.place(call).await?;
    let mut callee = to.incoming().await?;
    let invite = callee.invite();
    if call.from != "anonymous" {
        let shown = PlainUri::read(address(invite.first("From")).uri).user.to_owned();
        expect(shown == call.from, "the caller's number crosses")?;
    }
    callee.ring("", 180, false);
    caller.ringing(180).await?;
    let (answer, answered) = tokio::join!(callee.answer(""), caller.answered());
    answer.and(answered.map(drop))?;
    Ok((caller, callee))
}

async fn hang_up(one: &mut Call, other: &mut Call) -> Result<(), Unmet> {
    let (ended, seen) = tokio::join!(one.hang_up(), other.hung_up());
    ended.and(seen.map(drop))
}

/// A re-INVITE of `one`: what `other` sees of it, and what `one` gets as answer.
async fn crosses(one: &mut Call, other: &mut Call, flow: Flow, seen: &str, answer: &str) -> Result<(), Unmet> {
    let (response, request) = tokio::join!(one.re_invite(Some(flow)), other.re_invited());
    let (response, request) = (response?, request?);
    expect_direction(&request, seen)?;
    expect_direction(&response, answer)
}

/// A hold by Genesys: Teams sees `inactive`, whatever the form (TDR-93).
async fn hold(genesys: &mut Call, hub: &mut Call, flow: Flow, answer: &str) -> Result<(), Unmet> {
    let (response, request) = tokio::join!(genesys.re_invite(Some(flow)), hub.re_invited());
    let (response, request) = (response?, request?);
    expect_direction(&request, "inactive")?;
    // Whoever holds may hear `inactive` as well: the other side sends nothing (RFC 3264 §6.1).
    expect_direction(&response, answer).or_else(|_| expect_direction(&response, "inactive"))
}

fn expect_direction(message: &Plain, direction: &str) -> Result<(), Unmet> {
    let lines = message.sdp().and_then(|sdp| description::lines(sdp).ok()).unwrap_or_default();
    let found = lines.direction(0);
    if found == direction {
        Ok(())
    } else {
        Err(Unmet(format!("a={found} instead of a={direction} in {}", message.start)))
    }
}

/// TDR-122: after the called party has decided nobody tries again.
async fn once(hub: &Platform) -> Result<(), Unmet> {
    expect(invites(hub) == 1 && hub.no_call().await, "TDR-122: no second INVITE to the hub")
}

/// How many INVITEs the platform got.
fn invites(platform: &Platform) -> usize {
    let trace = platform.trace();
    trace
        .iter()
        .filter(|traced| !traced.sent && traced.plain.method() == "INVITE" && !traced.plain.is_response())
        .count()
}

fn expect(holds: bool, what: &str) -> Result<(), Unmet> {
    if holds { Ok(()) } else { Err(Unmet(format!("not so: {what}"))) }
}
