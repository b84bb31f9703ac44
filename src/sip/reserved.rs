//! Header field names that somebody keeps for himself: one list for what crosses, what leaves, and what rules may write.

/// Whose names begin so.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Keeper {
    /// Genesys Cloud (GEN-61, 63).
    Genesys,
    /// Microsoft Teams (TDR-61, 150).
    Microsoft,
    /// Ourselves (GEN-79).
    Tandem,
}

const PREFIXES: [(&str, Keeper); 6] = [
    ("x-inin", Keeper::Genesys),
    ("x-genesys", Keeper::Genesys),
    ("x-pcv", Keeper::Genesys),
    ("x-gcv", Keeper::Genesys),
    ("x-ms-", Keeper::Microsoft),
    ("x-tandem-", Keeper::Tandem),
];

/// Who keeps header field names like this one; `None`: anybody may use it.
pub fn keeper(name: &str) -> Option<Keeper> {
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix));
    PREFIXES.iter().find(|(prefix, _)| begins(prefix)).map(|(_, keeper)| *keeper)
}
