//! Call flows between the platforms, each a script of both sides.
//!
//! A scenario says what each platform does and what it must see; the platforms judge every message on
//! the way. [`play`] runs one and returns what was seen, for the demo to draw and for tests to assert.

mod basic;
mod dialogs;
mod unusual;

use super::call::{Call, Unmet};
use super::checks::{Breach, description};
use super::lab::Lab;
use super::ladder::{self, Ladder};
use super::media::Flow;
use super::octets::{Plain, PlainUri, address};
use super::platform::Platform;
use super::roles::Placed;

/// Declares [`Scenario`] from one table: variant, name on the command line, what happens, script.
macro_rules! scenarios {
    ($($variant:ident $name:literal $title:literal $script:path),* $(,)?) => {
        /// Which scenario.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Scenario {
            $(#[doc = $title] $variant,)*
        }

        impl Scenario {
            /// Every scenario, in the order of the demo.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What happens in it, for people.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }
        }

        async fn run(lab: &Lab, scenario: Scenario) -> Result<(), Unmet> {
            match scenario { $(Scenario::$variant => $script(&lab.hub, &lab.genesys).await),* }
        }
    };
}

scenarios! {
    Health "health" "Tandem asks every host of both platforms how it is, and answers when asked" basic::health,
    GenesysToTeams "genesys-to-teams" "Genesys calls a Teams user; the user answers and hangs up" basic::genesys_to_teams,
    GenesysHangsUp "genesys-hangs-up" "Genesys calls a Teams user; the user answers, Genesys hangs up" basic::genesys_hangs_up,
    TeamsToGenesys "teams-to-genesys" "A Teams user calls a queue; Genesys answers and hangs up" basic::teams_to_genesys,
    TeamsHangsUp "teams-hangs-up" "A Teams user calls a queue; Genesys answers, the user hangs up" basic::teams_hangs_up,
    Busy "busy" "The Teams user is busy: Genesys hears 486 with a cause it does not retry" basic::busy,
    Declined "declined" "The Teams user declines: Genesys hears 603, nobody tries again" basic::declined,
    UnknownNumber "unknown-number" "Genesys dials a number that nobody has: 404, Teams sees nothing" basic::unknown_number,
    StaleNumber "stale-number" "Genesys dials a number that Teams no longer has: 404, once" basic::stale_number,
    UnassignedNumber "unassigned-number" "A Teams user dials a number that Genesys has not assigned: 404" basic::unassigned_number,
    GenesysCancels "genesys-cancels" "Genesys gives up while Teams rings" basic::genesys_cancels,
    TeamsCancels "teams-cancels" "A Teams user gives up while Genesys rings" basic::teams_cancels,
    TeamsHolds "teams-holds" "The Teams user holds and resumes" dialogs::teams_holds,
    GenesysHolds "genesys-holds" "Genesys holds by sendonly, inactive and 0.0.0.0: Teams sees inactive only" dialogs::genesys_holds,
    Forked "forked" "Three endpoints of the user ring: Genesys sees one dialog" basic::forked,
    HubFailover "hub-failover" "The first hub host says 503: the call goes to the next at once" basic::hub_failover,
    ConnectionsLost "connections-lost" "Every connection is lost in mid-call: the call goes on and ends in order" dialogs::connections_lost,
    Anonymous "anonymous" "A caller withholds the number: it stands nowhere" unusual::anonymous,
    OfferlessCall "offerless-call" "Genesys calls without an offer: refused here, for Teams takes none" unusual::offerless_call,
    OfferlessReInvite "offerless-re-invite" "Genesys asks for an offer: Teams is asked with one" dialogs::offerless_re_invite,
    Update "update" "Genesys sends UPDATE: Teams sees a re-INVITE or nothing" dialogs::update,
    Info "info" "Genesys sends INFO: Teams sees nothing of it" dialogs::info,
    Refused "refused" "REFER, MESSAGE and SUBSCRIBE in a call are refused; the call goes on" dialogs::refused,
    Glare "glare" "Both sides change the call at the same moment" dialogs::glare,
    BothHangUp "both-hang-up" "Both sides hang up at the same moment" dialogs::both_hang_up,
    CancelRace "cancel-race" "Genesys cancels as Teams answers: no half a call is left" basic::cancel_race,
    AnswerRepeated "answer-repeated" "Teams repeats its answer: it is acknowledged again" dialogs::answer_repeated,
    StrayTag "stray-tag" "A BYE with a tag that is not ours gets 481; the call goes on" dialogs::stray_tag,
    Reliable "reliable" "Genesys requires reliable ringing: it gets it from Tandem, Teams sees nothing" unusual::reliable,
    NoRecordRoute "no-record-route" "The hub sends no Record-Route: requests follow its Contact" unusual::no_record_route,
    Crowded "crowded" "INVITEs full of header fields of each platform's own: none crosses" unusual::crowded,
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
    /// Those that show the usual calls, for who sees them for the first time.
    pub const SHOWN: &[Self] = &[
        Self::Health,
        Self::GenesysToTeams,
        Self::GenesysHangsUp,
        Self::TeamsToGenesys,
        Self::TeamsHangsUp,
        Self::Busy,
        Self::UnknownNumber,
        Self::GenesysCancels,
        Self::TeamsHolds,
        Self::GenesysHolds,
        Self::Forked,
    ];

    /// The scenario of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scenario| scenario.name() == name)
    }
}

/// Plays one scenario; both platforms forget what was before it, but for how Tandem said hello.
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
///
/// # Errors
///
/// Names the legs that have not.
pub fn nothing_left(lab: &Lab) -> Result<(), Unmet> {
    for platform in [&lab.genesys, &lab.hub] {
        let left = platform.live_legs();
        if !left.is_empty() {
            return Err(Unmet(format!("{}: legs that have not ended: {}", platform.side().name(), left.join(", "))));
        }
    }
    Ok(())
}

/// A call that rings and is answered.
///
/// # Errors
///
/// At the first thing that does not come.
pub async fn connect(from: &Platform, to: &Platform, caller: &str, number: &str) -> Result<(Call, Call), Unmet> {
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

/// `one` hangs up, `other` hears it.
///
/// # Errors
///
/// When either does not come.
pub async fn hang_up(one: &mut Call, other: &mut Call) -> Result<(), Unmet> {
    let (ended, seen) = tokio::join!(one.hang_up(), other.hung_up());
    ended.and(seen.map(drop))
}

/// A re-INVITE of `one`: the direction that `other` sees, and the one that `one` gets as answer.
///
/// # Errors
///
/// When either is another, or does not come.
pub async fn change(one: &mut Call, other: &mut Call, flow: Flow, seen: &str, answer: &str) -> Result<(), Unmet> {
    let (response, request) = tokio::join!(one.re_invite(Some(flow)), other.re_invited());
    let (response, request) = (response?, request?);
    expect_direction(&request, seen)?;
    expect_direction(&response, answer)
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

/// How many INVITEs the platform got, those not counted that it challenged: they came again.
fn invites(platform: &Platform) -> usize {
    let trace = platform.trace();
    let invites =
        trace.iter().filter(|traced| !traced.sent && traced.plain.method() == "INVITE" && !traced.plain.is_response());
    let challenged = |invite: &Plain| {
        trace.iter().any(|traced| {
            traced.sent && matches!(traced.plain.status(), 401 | 407) && traced.plain.branch() == invite.branch()
        })
    };
    invites.filter(|traced| !challenged(&traced.plain)).count()
}

fn expect(holds: bool, what: &str) -> Result<(), Unmet> {
    if holds { Ok(()) } else { Err(Unmet(format!("not so: {what}"))) }
}
