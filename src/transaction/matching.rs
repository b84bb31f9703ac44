//! Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3, §8.2.2.2).
//!
//! What has to be equal is written into one key, octet by octet, and looked up under a seeded hash:
//! peers choose branches and Call-IDs. The method stays outside, because an ACK and a CANCEL look for
//! the INVITE under the key that they share with it.

use crate::identifier::MAGIC_COOKIE;
use crate::sip::{Message, Method, Name, tag, top_via};
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;
use std::hash::BuildHasher;

/// What has to be equal, as octets.
pub(super) type Key = SmallVec<[u8; 192]>;

/// The key of a request's server transaction: branch and sent-by (§17.2.3); without the cookie of
/// RFC 3261 what RFC 2543 compared.
pub(super) fn server_key(request: &Message) -> Key {
    let mut key = Key::new();
    if let Ok(via) = top_via(request)
        && let Some(branch) = via.branch()
        && branch.len() > MAGIC_COOKIE.len()
        && branch.get(..MAGIC_COOKIE.len()).is_some_and(|cookie| cookie.eq_ignore_ascii_case(MAGIC_COOKIE))
    {
        put(&mut key, branch);
        put(&mut key, via.host());
        key.make_ascii_lowercase();
        let default = if via.transport().eq_ignore_ascii_case("TLS") { 5061 } else { 5060 };
        key.extend_from_slice(&via.port().unwrap_or(default).to_be_bytes());
        return key;
    }
    // The To tag is left out: the ACK has the one of our response, the INVITE has none, and no client
    // repeats all the rest for another request.
    put(&mut key, request.request_uri());
    put(&mut key, request.header(Name::From).and_then(tag).unwrap_or(""));
    put(&mut key, request.call_id());
    key.extend_from_slice(&request.cseq().number.to_be_bytes());
    put(&mut key, request.values(Name::Via).next().unwrap_or(""));
    key
}

/// What two branches of one forked request have in common (§8.2.2.2). `None` for requests that cannot
/// be merged: those within a dialog, ACK and CANCEL.
pub(super) fn merge_key(request: &Message) -> Option<Key> {
    let method = request.method();
    if matches!(method, Method::Ack | Method::Cancel) || request.header(Name::To).and_then(tag).is_some() {
        return None;
    }
    let mut key = Key::new();
    put(&mut key, request.call_id());
    put(&mut key, request.header(Name::From).and_then(tag).unwrap_or(""));
    key.extend_from_slice(&request.cseq().number.to_be_bytes());
    put(&mut key, method.as_str());
    Some(key)
}

/// The key of a client transaction: branch and method of CSeq (§17.1.3).
pub(super) fn client_key(branch: &str, method: &Method) -> Key {
    let mut key = Key::new();
    put(&mut key, branch);
    put(&mut key, method.as_str());
    key
}

/// The key of the client transaction that a response is for; `None` without a readable branch.
pub(super) fn response_key(response: &Message) -> Option<Key> {
    Some(client_key(top_via(response).ok()?.branch()?, &response.cseq().method))
}

/// No value holds a NUL (`Message::parse` refuses them), so parts cannot run together.
fn put(key: &mut Key, part: &str) {
    key.extend_from_slice(part.as_bytes());
    key.push(0);
}

/// Values under ids that are never used again soon: 20 bits of place (the tables are bounded far below), 26 of generation.
#[derive(Debug)]
pub(super) struct Table<T> {
    slab: Slab<(u64, T)>,
    generation: u64,
}

const PLACE_BITS: u32 = 20;
const GENERATION_BITS: u32 = 26;
const GENERATIONS: u64 = 1 << GENERATION_BITS;

/// The bits of an id.
pub(super) const ID_BITS: u32 = PLACE_BITS + GENERATION_BITS;

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self { slab: Slab::new(), generation: 0 }
    }

    pub(super) fn insert(&mut self, value: T) -> u64 {
        self.generation = (self.generation + 1) % GENERATIONS;
        let at = self.slab.insert((self.generation, value)) as u64;
        self.generation << PLACE_BITS | at
    }

    pub(super) fn get(&self, id: u64) -> Option<&T> {
        let (generation, value) = self.slab.get(place(id)?)?;
        (*generation == id >> PLACE_BITS).then_some(value)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        let (generation, value) = self.slab.get_mut(place(id)?)?;
        (*generation == id >> PLACE_BITS).then_some(value)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<T> {
        self.get(id)?;
        self.slab.try_remove(place(id)?).map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }
}

fn place(id: u64) -> Option<usize> {
    usize::try_from(id & ((1 << PLACE_BITS) - 1)).ok()
}

/// Ids by the hash of a key; the key itself is with the value.
#[derive(Debug)]
pub(super) struct Index {
    ids: HashTable<(u64, u64)>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { ids: HashTable::new() }
    }

    pub(super) fn insert(&mut self, hash: u64, id: u64) {
        self.ids.insert_unique(hash, (hash, id), |&(hash, _)| hash);
    }

    pub(super) fn find(&self, hash: u64, mut fits: impl FnMut(u64) -> bool) -> Option<u64> {
        self.ids.find(hash, |&(other, id)| other == hash && fits(id)).map(|&(_, id)| id)
    }

    pub(super) fn remove(&mut self, hash: u64, id: u64) {
        if let Ok(entry) = self.ids.find_entry(hash, |&(_, other)| other == id) {
            entry.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}

/// The hash of a key under the seed of this process.
pub(super) fn hash(hasher: &FixedState, key: &[u8]) -> u64 {
    hasher.hash_one(key)
}
