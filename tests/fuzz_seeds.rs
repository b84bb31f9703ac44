//! The bodies of the fuzz targets, run over their seeds and over mutations of them: what a coverage-guided run needs a
//! fuzzer for, this does with any compiler, less deeply.
#![cfg(feature = "shell")]

mod drive;
#[expect(dead_code, reason = "why a message is refused, tests/guard.rs reads")]
#[path = "guard/messages.rs"]
mod messages;
#[path = "guard/trial.rs"]
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Mutations of each target, over all its seeds.
const MUTATIONS: usize = 2_000;

/// As the fuzz target of this name has it.
fn guard(data: &[u8]) {
    if let Some(0x80..) = data.first() {
        return messages::survive(data).unwrap_or_else(|found| panic!("{found}"));
    }
    trial::trial(data);
    messages::judge(data).unwrap_or_else(|found| panic!("{found}"));
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new("fuzz/seeds").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a seed"))).collect()
}

/// Words of the dictionary that the fuzzer is given, too.
fn words() -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string("fuzz/sip.dict").expect("the dictionary");
    let quoted = |line: &str| Some(line.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    let word = |line: String| {
        let mut octets = Vec::new();
        let mut rest = line.as_str();
        while let Some((before, after)) = rest.split_once('\\') {
            octets.extend_from_slice(before.as_bytes());
            rest = match after.strip_prefix('x') {
                Some(digits) => {
                    octets.push(u8::from_str_radix(&digits[..2], 16).expect("two digits"));
                    &digits[2..]
                }
                None => {
                    octets.extend_from_slice(&after.as_bytes()[..1]);
                    &after[1..]
                }
            };
        }
        octets.extend_from_slice(rest.as_bytes());
        octets
    };
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| word(quoted(line).unwrap_or_else(|| panic!("no word: {line}"))))
        .collect()
}

/// Repeatable choices (SplitMix64).
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}

/// A seed with some of it changed, gone, doubled or added, as a fuzzer would.
fn mutated(seeds: &[(PathBuf, Vec<u8>)], words: &[Vec<u8>], choices: &mut Choices) -> Vec<u8> {
    let mut octets = seeds[choices.below(seeds.len())].1.clone();
    for _ in 0..=choices.below(6) {
        let at = choices.below(octets.len() + 1);
        let end = (at + 1 + choices.below(12)).min(octets.len());
        match choices.below(6) {
            0 if at < octets.len() => octets[at] = choices.below(256) as u8,
            1 => octets.insert(at, b"\r\n \t:;,<>@\"=\0\xff"[choices.below(14)]),
            2 => drop(octets.drain(at..end)),
            3 => {
                let piece = octets[at..end].to_vec();
                octets.splice(at..at, piece);
            }
            4 => octets.truncate(octets.len() - choices.below(octets.len() / 4 + 1)),
            _ => {
                let word = words[choices.below(words.len())].clone();
                octets.splice(at..at, word);
            }
        }
    }
    octets
}

fn run(target: &str, body: fn(&[u8])) {
    let (seeds, words, mut choices) = (seeds(target), words(), Choices(1));
    assert!(!seeds.is_empty(), "{target} has no seeds");
    for (path, octets) in &seeds {
        let result = catch_unwind(AssertUnwindSafe(|| body(octets)));
        assert!(result.is_ok(), "{}", path.display());
    }
    for _ in 0..MUTATIONS {
        let octets = mutated(&seeds, &words, &mut choices);
        let result = catch_unwind(AssertUnwindSafe(|| body(&octets)));
        assert!(result.is_ok(), "{target}: b\"{}\"", octets.escape_ascii());
    }
}

#[test]
fn every_target_stands_up_to_its_seeds_and_to_mutations_of_them() {
    std::thread::scope(|scope| {
        let guard = ("guard", guard as fn(&[u8]));
        let running: Vec<_> = drive::TARGETS
            .into_iter()
            .chain([guard])
            .map(|(target, body)| scope.spawn(move || run(target, body)))
            .collect();
        for target in running {
            target.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

#[test]
fn every_target_has_a_body_here_and_seeds() {
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let mut known: Vec<String> = drive::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    known.push("guard".to_owned());
    known.sort();
    assert_eq!(names("fuzz/fuzz_targets"), known);
    assert_eq!(names("fuzz/seeds"), known);
}
