//! Which number belongs to whom: an immutable table that routing reads (GEN-18, TDR-46).
//!
//! Entries come from a file now and from SCIM later; either way a new [`Directory`] replaces the old
//! one whole. Numbers are E.164 with `+`, an extension behind `;ext=` (TDR-47).

use crate::number::Number;
use crate::pii::Pii;
use bytestring::ByteString;
use hashbrown::HashMap;
use smallvec::SmallVec;

/// One number and its user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The number.
    pub number: Number,
    /// The user's name at the source: a UPN, an address, a display name.
    pub user: Pii<String>,
    /// Whether the user may be called.
    pub active: bool,
}

/// Two entries with one number, of which one counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// The number.
    pub number: Number,
    /// Place of the entry that counts, in the order given to [`Directory::new`].
    pub kept: usize,
    /// Place of the entry that does not.
    pub dropped: usize,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The entries that count, by base number: few share one (TDR-47).
    accounts: HashMap<ByteString, SmallVec<[Entry; 1]>>,
    len: usize,
}

impl Directory {
    /// Makes the table. Of several entries with one number the first active one counts, else the first.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> (Self, Vec<Conflict>) {
        let mut chosen: HashMap<Number, (usize, Entry)> = HashMap::new();
        let mut conflicts = Vec::new();
        for (place, entry) in entries.into_iter().enumerate() {
            let number = entry.number.clone();
            match chosen.get_mut(&number) {
                None => {
                    chosen.insert(number, (place, entry));
                }
                Some((earlier, kept)) if entry.active && !kept.active => {
                    conflicts.push(Conflict { number, kept: place, dropped: *earlier });
                    (*earlier, *kept) = (place, entry);
                }
                Some((earlier, _)) => conflicts.push(Conflict { number, kept: *earlier, dropped: place }),
            }
        }
        let len = chosen.len();
        let mut accounts: HashMap<ByteString, SmallVec<[Entry; 1]>> = HashMap::with_capacity(len);
        for (_, (_, entry)) in chosen {
            accounts.entry(entry.number.digits.clone()).or_default().push(entry);
        }
        (Self { accounts, len }, conflicts)
    }

    /// The entry of `number`.
    ///
    /// An extension tells apart those who share a base number; where nobody else has the base number
    /// it does not matter, as at the hub (TDR-47). `None`: nobody has the number, or the extension
    /// leaves open who.
    pub fn lookup(&self, number: &Number) -> Option<&Entry> {
        match self.accounts.get(&number.digits)?.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|entry| entry.number.extension == number.extension),
        }
    }

    /// How many numbers have an entry.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries that count, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.accounts.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::normalise(text, "1").unwrap()
    }

    fn entry(text: &str, user: &str, active: bool) -> Entry {
        Entry { number: number(text), user: Pii::new(user.to_owned()), active }
    }

    fn user<'d>(directory: &'d Directory, text: &str) -> Option<&'d str> {
        directory.lookup(&number(text)).map(|entry| entry.user.reveal().as_str())
    }

    #[test]
    fn a_number_leads_to_its_user() {
        let (directory, conflicts) =
            Directory::new([entry("+14255550123", "ada", true), entry("+14255550124", "bob", false)]);
        assert!(conflicts.is_empty());
        assert_eq!((directory.len(), directory.is_empty(), directory.iter().count()), (2, false, 2));
        assert_eq!(user(&directory, "4255550123"), Some("ada"));
        assert_eq!(user(&directory, "+14255550124"), Some("bob"));
        assert_eq!(user(&directory, "+14255550125"), None);
    }

    #[test]
    fn an_extension_counts_only_among_those_who_share_the_base_number_tdr_47() {
        let (directory, _) = Directory::new([
            entry("+14255550100;ext=1001", "ada", true),
            entry("+14255550100;ext=1002", "bob", true),
            entry("+14255550123", "eve", true),
        ]);
        assert_eq!(user(&directory, "+14255550100;ext=1002"), Some("bob"));
        assert_eq!(user(&directory, "+14255550100;ext=1003"), None);
        assert_eq!(user(&directory, "+14255550100"), None);
        assert_eq!(user(&directory, "+14255550123;ext=9"), Some("eve"));
    }

    #[test]
    fn of_two_entries_with_one_number_the_first_active_one_counts() {
        let (directory, conflicts) = Directory::new([
            entry("+14255550123", "ada", false),
            entry("+14255550123", "bob", true),
            entry("+14255550123", "eve", true),
        ]);
        assert_eq!(user(&directory, "+14255550123"), Some("bob"));
        assert_eq!(directory.len(), 1);
        let places: Vec<_> = conflicts.iter().map(|conflict| (conflict.kept, conflict.dropped)).collect();
        assert_eq!(places, [(1, 0), (1, 2)]);
    }
}
