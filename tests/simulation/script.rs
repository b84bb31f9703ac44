//! What is to happen in one world: drawn from the seed, nothing else.

use super::rng::Rng;

/// Microseconds.
pub const MS: u64 = 1_000;
/// Microseconds.
pub const SECOND: u64 = 1_000 * MS;

/// The hub's place among the platforms.
pub const TEAMS: usize = 0;
/// Genesys' place among the platforms.
pub const GENESYS: usize = 1;

/// How the fake media relay answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Relay {
    /// The core answers itself.
    Direct,
    /// At once.
    Immediate,
    /// After a while, sometimes after the deadline.
    Delayed,
    /// Sometimes fails.
    Failing,
    /// Sometimes says nothing.
    Silent,
}

/// How the first host of the hub fares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FirstHost {
    /// It takes calls.
    Up,
    /// Connections fail.
    Refuses,
    /// It says nothing.
    Silent,
    /// It answers 503.
    Busy,
}

/// The world's weather. What is off never happens.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which calls of the script are placed; all when empty.
    pub only: Vec<usize>,
    /// How many calls the script has.
    pub calls: usize,
    /// Percent of datagrams that are lost.
    pub loss: u64,
    /// Percent of datagrams that come twice.
    pub twice: u64,
    /// Percent of messages after which their connection breaks.
    pub breaks: u64,
    /// When a worker fails and takes its calls up again, microseconds; 0: never.
    pub crash: u64,
    /// The media relay.
    pub relay: Relay,
    /// How many workers there are.
    pub workers: usize,
    /// Whether Genesys speaks UDP.
    pub udp: bool,
    /// Whether answers of forks cross early.
    pub early_media: bool,
    /// The hub's first host.
    pub first_host: FirstHost,
    /// Percent of in-dialog requests on a new connection (TDR-22).
    pub fresh: u64,
    /// When the element drains, microseconds; 0: never.
    pub drain: u64,
    /// How often a worker asks for a call of another, microseconds; 0: never.
    pub moves: u64,
    /// Whether a worker that failed gets its calls one by one, or as their requests ask for them.
    pub lazy: bool,
}

impl Options {
    /// The weather of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let udp = rng.chance(40);
        let mut options = Self {
            only: Vec::new(),
            calls: rng.between(1, 6) as usize,
            loss: if udp && rng.chance(60) { rng.between(1, 30) } else { 0 },
            twice: if udp && rng.chance(40) { 10 } else { 0 },
            breaks: if rng.chance(30) { rng.between(1, 8) } else { 0 },
            crash: if rng.chance(20) { rng.between(1, 90) * SECOND } else { 0 },
            relay: rng.pick(&[
                Relay::Direct,
                Relay::Direct,
                Relay::Immediate,
                Relay::Delayed,
                Relay::Delayed,
                Relay::Failing,
                Relay::Silent,
            ]),
            workers: if rng.chance(40) { 2 } else { 1 },
            udp,
            early_media: rng.chance(25),
            first_host: if rng.chance(75) {
                FirstHost::Up
            } else {
                rng.pick(&[FirstHost::Refuses, FirstHost::Silent, FirstHost::Busy])
            },
            fresh: if rng.chance(50) { 30 } else { 0 },
            drain: if rng.chance(5) { rng.between(1, 90) * SECOND } else { 0 },
            moves: 0,
            lazy: rng.chance(50),
        };
        if options.workers > 1 && rng.chance(60) {
            options.moves = rng.between(500, 8_000) * MS;
        }
        options
    }

    /// Worlds that are a little simpler than this one, for shrinking.
    pub fn simpler(&self) -> Vec<Self> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut one = self.clone();
            change(&mut one);
            if format!("{one:?}") != format!("{self:?}") {
                all.push(one);
            }
        };
        let calls: Vec<usize> = if self.only.is_empty() { (0..self.calls).collect() } else { self.only.clone() };
        if calls.len() > 1 {
            for &call in &calls {
                with(&|one| one.only = vec![call]);
            }
            for &call in &calls {
                with(&|one| one.only = calls.iter().copied().filter(|&other| other != call).collect());
            }
        }
        with(&|one| one.crash = 0);
        with(&|one| one.drain = 0);
        with(&|one| one.moves = 0);
        with(&|one| one.lazy = false);
        with(&|one| one.breaks = 0);
        with(&|one| one.loss = 0);
        with(&|one| one.twice = 0);
        with(&|one| one.fresh = 0);
        with(&|one| one.udp = false);
        with(&|one| one.relay = Relay::Direct);
        with(&|one| one.workers = 1);
        with(&|one| one.early_media = false);
        with(&|one| one.first_host = FirstHost::Up);
        all
    }
}

/// What a side does in an answered call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// A re-INVITE that holds.
    Hold,
    /// A re-INVITE that resumes.
    Resume,
    /// A re-INVITE that moves the media.
    Move,
    /// A re-INVITE that says nothing new.
    Refresh,
    /// A re-INVITE without offer.
    Offerless,
    /// A re-INVITE that is taken back.
    Withdraw,
    /// UPDATE with an offer.
    Update,
    /// UPDATE without.
    PlainUpdate,
    /// INFO with a body that is no session description.
    Info,
    /// OPTIONS in the dialog.
    Options,
    /// A method nobody announced.
    Refer,
    /// BYE.
    Bye,
    /// Not a word any more.
    Vanish,
    /// The call is forgotten: 481 to everything.
    Forget,
}

/// What the called side does with the INVITE.
#[derive(Clone, Debug)]
pub enum Callee {
    /// Rings (after, status, fork, with SDP), then answers with a fork; perhaps a second one does so too.
    Answers { rings: Vec<(u64, u16, usize, bool)>, after: u64, fork: usize, second: Option<(u64, usize)> },
    /// Rings, then refuses.
    Refuses { rings: Vec<(u64, u16, usize, bool)>, after: u64, status: u16 },
    /// Rings for ever, or says nothing at all.
    Waits { rings: Vec<(u64, u16, usize, bool)> },
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// When, microseconds.
    pub at: u64,
    /// The platform of the caller.
    pub from: usize,
    /// No offer in the INVITE (the hub only: Genesys' would be refused).
    pub offerless: bool,
    /// The caller requires 100rel.
    pub reliable: bool,
    /// The 2xx names a place that must not be dialled, and no route.
    pub foreign: bool,
    /// The caller gives up: after this long.
    pub cancel: Option<u64>,
    /// Session-Expires of the caller, with its refresher.
    pub timer: Option<&'static str>,
    /// Session-Expires of the callee's 2xx.
    pub answer_timer: Option<&'static str>,
    /// What the called side does.
    pub callee: Callee,
    /// What the sides do after the answer: (after, side: 0 the caller, act).
    pub acts: Vec<(u64, usize, Act)>,
}

impl Call {
    /// Call `index` of a seed.
    pub fn draw(seed: u64, index: usize) -> Self {
        let mut rng = Rng::new(seed, 1_000 + index as u64);
        let from = if rng.chance(50) { TEAMS } else { GENESYS };
        let rings = (0..rng.below(4))
            .map(|_| {
                let status = rng.pick(&[180, 180, 183, 181, 182, 199]);
                (rng.between(1, 3_000) * MS, status, rng.below(3) as usize, rng.chance(40))
            })
            .collect();
        let callee = match rng.below(100) {
            0..75 => Callee::Answers {
                rings,
                after: rng.between(1, 8_000) * MS,
                fork: rng.below(3) as usize,
                second: rng.chance(10).then(|| (rng.between(0, 2_000) * MS, 3)),
            },
            75..93 => Callee::Refuses {
                rings,
                after: rng.between(1, 6_000) * MS,
                status: rng.pick(&[486, 486, 603, 480, 404, 503, 500, 488, 302, 401, 422, 408, 600]),
            },
            _ => Callee::Waits { rings: if rng.chance(50) { rings } else { Vec::new() } },
        };
        let mut acts = Vec::new();
        for _ in 0..rng.below(8) {
            let act = match rng.below(100) {
                0..18 => Act::Hold,
                18..36 => Act::Resume,
                36..48 => Act::Move,
                48..54 => Act::Refresh,
                54..66 => Act::Offerless,
                66..74 => Act::Withdraw,
                74..82 => Act::Update,
                82..86 => Act::PlainUpdate,
                86..90 => Act::Info,
                90..94 => Act::Options,
                94..96 => Act::Refer,
                96..98 => Act::Vanish,
                _ => Act::Forget,
            };
            acts.push((rng.between(0, 40_000) * MS, rng.below(2) as usize, act));
        }
        // Some at the very same moment: glare.
        if let (Some(&(at, side, _)), true) = (acts.first(), rng.chance(40)) {
            acts.push((at + rng.below(40) * MS, 1 - side, Act::Move));
        }
        let end = if rng.chance(12) { rng.between(1_000, 9_000) * SECOND } else { rng.between(0, 100_000) * MS };
        match rng.below(10) {
            0..4 => acts.push((end, 0, Act::Bye)),
            4..8 => acts.push((end, 1, Act::Bye)),
            _ => {
                acts.push((end, 0, Act::Bye));
                acts.push((end + rng.below(60) * MS, 1, Act::Bye));
            }
        }
        acts.sort_by_key(|&(at, ..)| at);
        Self {
            at: rng.between(0, 20_000) * MS,
            from,
            offerless: from == TEAMS && rng.chance(10),
            reliable: rng.chance(8),
            foreign: rng.chance(2),
            cancel: rng.chance(15).then(|| rng.between(0, 9_000) * MS),
            timer: rng.pick(&[None, Some("1800"), Some("1800;refresher=uac"), Some("1800;refresher=uas"), Some("600")]),
            answer_timer: rng.pick(&[None, Some("1800;refresher=uac"), Some("1800;refresher=uas")]),
            callee,
            acts,
        }
    }
}
