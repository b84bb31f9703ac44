//! The identifiers we mint, and whose they are.
//!
//! Every tag, Via branch and Call-ID of ours begins with the node, the epoch and the virtual slot of
//! the call it belongs to, so that any worker of any node can tell from a message alone who owns the
//! call ([`Identity::of`]). What follows is random and not to be guessed. Slots, 256 of them, stand
//! between calls and workers: a table in the snapshot maps slot to worker, so that slots can move.
//!
//! ```text
//! z9hG4bK td 0001 0000002a 07 9f86d081884c7d65
//! branch  │  node epoch    │  64 random bits
//!         ours             slot
//! ```

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// The cookie of every branch since RFC 3261 (§8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// Tells our identifiers from those of others, together with their length and digits.
const OURS: &str = "td";

/// The digits of its numbers.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Octets of an identifier: mark, node, epoch, slot, random bits.
const LENGTH: usize = OURS.len() + 4 + 8 + 2 + 16;

/// Mints the identifiers of one worker.
pub struct Minter {
    node: u16,
    epoch: u32,
    slots: Vec<u8>,
    next: usize,
    random: StdRng,
}

impl Minter {
    /// A minter for a worker of `node` that owns `slots`. `epoch` counts the starts of the node, so that
    /// what was minted before is told apart. `seed` comes from the operating system, or from the
    /// simulation that repeats itself: tags must not be guessable (RFC 3261 §19.3).
    pub fn new(node: u16, epoch: u32, slots: Vec<u8>, seed: [u8; 32]) -> Self {
        Self { node, epoch, slots, next: 0, random: StdRng::from_seed(seed) }
    }

    /// From now on the worker owns these slots.
    pub fn set_slots(&mut self, slots: Vec<u8>) {
        self.slots = slots;
    }

    /// A slot for a new call: the worker's own in turn, or 0 when it owns none.
    pub fn slot(&mut self) -> u8 {
        self.next = self.next.wrapping_add(1);
        self.next.checked_rem(self.slots.len()).and_then(|at| self.slots.get(at)).copied().unwrap_or(0)
    }

    /// The slot of an identifier of ours, if it is one of the worker's: that of a call which began elsewhere would
    /// lead responses there. Any own slot else.
    pub fn slot_of(&mut self, text: &str) -> u8 {
        match Identity::of(text) {
            Some(minted) if self.slots.contains(&minted.slot) => minted.slot,
            _ => self.slot(),
        }
    }

    /// A From or To tag (RFC 3261 §19.3).
    pub fn tag(&mut self, slot: u8) -> String {
        self.mint("", slot)
    }

    /// A Via branch (RFC 3261 §8.1.1.7).
    pub fn branch(&mut self, slot: u8) -> String {
        self.mint(MAGIC_COOKIE, slot)
    }

    /// A Call-ID; the caller appends `@` and the host (RFC 3261 §8.1.1.4).
    pub fn call_id(&mut self, slot: u8) -> String {
        self.mint("", slot)
    }

    /// The id of a call: a UUIDv7 of this moment, milliseconds since the Unix epoch (RFC 9562 §5.7).
    pub fn uuid(&mut self, unix_ms: u64) -> Uuid {
        let mut random = [0; 10];
        self.random.fill_bytes(&mut random);
        uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid()
    }

    /// A session id for an `o=` line: below 2⁵³, as JSEP asks and everybody can read (RFC 8829 §5.2.1).
    pub fn session_id(&mut self) -> u64 {
        (self.random.next_u64() >> 11).max(1)
    }

    /// The first CSeq of a dialog: 1 to 65535, far from 2³¹ for as long as a call can last (RFC 3261 §8.1.1.5).
    pub fn cseq(&mut self) -> u32 {
        (self.random.next_u32() >> 16).max(1)
    }

    /// A number to choose by, where the choice is free.
    pub fn draw(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn mint(&mut self, prefix: &str, slot: u8) -> String {
        let (node, epoch, random) = (self.node, self.epoch, self.random.next_u64());
        let mut minted = String::with_capacity(prefix.len() + LENGTH);
        minted.push_str(prefix);
        minted.push_str(OURS);
        for octets in [&node.to_be_bytes()[..], &epoch.to_be_bytes(), &[slot], &random.to_be_bytes()] {
            for octet in octets {
                minted.push(char::from(DIGITS[usize::from(octet >> 4)]));
                minted.push(char::from(DIGITS[usize::from(octet & 15)]));
            }
        }
        minted
    }
}

/// What an identifier of ours says about the call it belongs to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// The node that minted it.
    pub node: u16,
    /// Which start of that node.
    pub epoch: u32,
    /// The virtual slot of the call.
    pub slot: u8,
}

impl Identity {
    /// Reads a tag, a branch or a Call-ID, with or without its `@host`. `None` for what others minted.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.split_once('@').map_or(text, |(local, _)| local);
        let text = text.strip_prefix(MAGIC_COOKIE).unwrap_or(text);
        let digits = text.strip_prefix(OURS)?;
        let plain = digits.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == LENGTH && plain).then_some(())?;
        Some(Self {
            node: u16::from_str_radix(digits.get(..4)?, 16).ok()?,
            epoch: u32::from_str_radix(digits.get(4..12)?, 16).ok()?,
            slot: u8::from_str_radix(digits.get(12..14)?, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minter() -> Minter {
        Minter::new(3, 42, vec![7, 9], [1; 32])
    }

    #[test]
    fn what_we_mint_says_whose_it_is() {
        let mut minter = minter();
        let expected = Some(Identity { node: 3, epoch: 42, slot: 9 });
        let branch = minter.branch(9);
        assert!(branch.starts_with(MAGIC_COOKIE));
        assert_eq!(Identity::of(&branch), expected);
        assert_eq!(Identity::of(&minter.tag(9)), expected);
        let call_id = minter.call_id(9);
        assert_eq!(Identity::of(&call_id), expected);
        assert_eq!(Identity::of(&format!("{call_id}@sbc1.example.com")), expected);
        let mut edge = Minter::new(u16::MAX, u32::MAX, vec![255], [1; 32]);
        let identity = Identity { node: u16::MAX, epoch: u32::MAX, slot: 255 };
        assert_eq!(Identity::of(&edge.tag(255)), Some(identity));
    }

    #[test]
    fn what_others_mint_is_nobodys() {
        let ours = minter().tag(1);
        let long = format!("{ours}0");
        let upper = ours.to_ascii_uppercase();
        for foreign in [
            "",
            "td",
            "z9hG4bK",
            "z9hG4bK776asdhds",
            "314159",
            "a84b4c76e66710@pc33.example.com",
            &ours[1..],
            &long,
            &upper,
        ] {
            assert_eq!(Identity::of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn slots_come_in_turn() {
        let mut minter = minter();
        let mut slots: Vec<u8> = (0..4).map(|_| minter.slot()).collect();
        slots.sort_unstable();
        assert_eq!(slots, [7, 7, 9, 9]);
        minter.set_slots(Vec::new());
        assert_eq!(minter.slot(), 0);
        minter.set_slots(vec![5]);
        assert_eq!(minter.slot(), 5);
    }

    #[test]
    fn identifiers_of_one_call_share_its_slot() {
        let mut minter = minter();
        let tag = minter.tag(7);
        assert_eq!(minter.slot_of(&tag), 7);
        let moved = minter.tag(200);
        assert!([7, 9].contains(&minter.slot_of(&moved)), "a call of another worker lives here now");
        assert!([7, 9].contains(&minter.slot_of("314159")));
        minter.set_slots(Vec::new());
        assert_eq!(minter.slot_of("314159"), 0);
    }

    #[test]
    fn a_seed_repeats_and_nothing_else_does() {
        let (mut one, mut same, mut other) = (minter(), minter(), Minter::new(3, 42, vec![7], [2; 32]));
        let tag = one.tag(7);
        assert_eq!(tag, same.tag(7));
        assert_ne!(tag, other.tag(7));
        assert_ne!(tag, one.tag(7));
    }

    #[test]
    fn call_ids_carry_their_time_and_numbers_keep_their_ranges() {
        let mut minter = minter();
        let id = minter.uuid(1_700_000_000_000);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.as_u128() >> 80, 1_700_000_000_000);
        for _ in 0..1000 {
            assert!((1..1 << 53).contains(&minter.session_id()));
            assert!((1..1 << 16).contains(&minter.cseq()));
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_asked(text in "\\PC*", tail in "[0-9a-f]{0,40}") {
            Identity::of(&text);
            Identity::of(&format!("td{tail}"));
        }
    }
}
