//! The routes of the file, and which numbers are those of emergency.

use super::dial_plan::told;
use super::section::{Section, advice};
use crate::flow::TrunkId;
use crate::number::{SHORT_DIGITS, emergency_numbers};
use crate::routing::{CallerMatch, HeaderMatch, HeaderTest, NumberMatch, Route, Schedule, Zone};
use crate::settings::TrunkSettings;
use crate::sip::is_token;
use bytestring::ByteString;
use std::sync::Arc;
use toml::Spanned;

/// What every mobile phone takes for an emergency number (3GPP TS 22.101 §10.1), where no country is configured.
const EVERYWHERE: [&str; 2] = ["112", "911"];

/// How far ahead the clocks of a zone are known, in years: longer than a process runs without a reload.
const YEARS: i64 = 20;

/// The emergency numbers of [numbers]: the operator's, else those of all `countries` that the file names.
pub(super) fn read_emergency(numbers: &Section<'_>, countries: &[&str]) -> Arc<[ByteString]> {
    let number = |text: &str| match text.bytes().all(|octet| octet.is_ascii_digit()) {
        true if (2..=SHORT_DIGITS).contains(&text.len()) => Ok(ByteString::from(text)),
        _ => Err(format!("`{text}` is no emergency number; write 2 to {SHORT_DIGITS} digits, such as \"112\"")),
    };
    if let Some(own) = numbers.list("emergency", number) {
        return own.into_iter().map(Spanned::into_inner).collect();
    }
    let mut known: Vec<&str> = countries.iter().flat_map(|country| emergency_numbers(country)).collect();
    known.sort_unstable();
    known.dedup();
    if known.is_empty() {
        known = EVERYWHERE.to_vec();
    }
    known.into_iter().map(ByteString::from).collect()
}

/// The routes, with their tables.
pub(super) fn read_routes<'a>(root: &Section<'a>, trunks: &[TrunkSettings]) -> (Vec<Route>, Vec<Section<'a>>) {
    let sections = root.repeated("route");
    if sections.is_empty() && root.is_present() {
        root.missing("route", "add [[route]] tables: without one every call is refused with 404");
    }
    (sections.iter().map(|section| read_route(section, trunks)).collect(), sections)
}

fn read_route(section: &Section<'_>, trunks: &[TrunkSettings]) -> Route {
    let names: Vec<&str> = trunks.iter().map(|trunk| &*trunk.trunk.name).collect();
    let trunk = |name: &str| {
        let found = trunks.iter().find(|trunk| &*trunk.trunk.name == name).map(|trunk| trunk.trunk.id);
        found.ok_or_else(|| format!("there is no trunk `{name}`; {}", advice(name, &names)))
    };
    let number = |text: &str| NumberMatch::parse(text).map_err(|error| format!("`{text}`: {error}"));
    let caller = |text: &str| CallerMatch::parse(text).map_err(|error| format!("`{text}`: {error}"));
    let mut numbers: Vec<NumberMatch> = section.some("number", number);
    let number = match numbers.len() {
        0 => NumberMatch::Any,
        1 => numbers.remove(0),
        _ => NumberMatch::OneOf(numbers),
    };
    let (to, weights) = read_targets(section, trunk);
    Route {
        from: section.parsed("from", trunk).map(Spanned::into_inner),
        number,
        caller: section.some("caller", caller),
        header: read_header(section),
        time: read_time(section),
        to,
        weights,
    }
}

/// `to`: names in their order, or tables with weights.
fn read_targets(section: &Section<'_>, trunk: impl Fn(&str) -> Result<TrunkId, String>) -> (Vec<TrunkId>, Vec<u32>) {
    let items = section.items("to").unwrap_or_default();
    if items.is_empty() {
        section.missing("to", "name the trunks in the order calls try them: to = [\"teams\"]");
    }
    let (mut to, mut weights) = (Vec::new(), Vec::new());
    for item in items.iter().copied() {
        if let Some(table) = section.inline("to", item) {
            let target = table.parsed("trunk", &trunk).map(Spanned::into_inner);
            if table.text("trunk").is_none() {
                table.missing("trunk", "write for example { trunk = \"carrier\", weight = 3 }");
            }
            let weight = table.integer("weight", 0..=10_000).and_then(|weight| u32::try_from(weight).ok());
            table.finish();
            weights.extend(weight);
            to.extend(target);
        } else if let Some(name) = section.item("to", item) {
            match trunk(name.get_ref()) {
                Ok(id) => to.push(id),
                Err(fault) => drop(section.findings().error(name.span(), fault)),
            }
        }
    }
    if !weights.is_empty() && weights.len() != items.len() {
        let remedy = "give each of them a weight; 0 makes one that is tried only when others fail";
        section.findings().error(section.place("to"), "some trunks have a weight and some have none").remedy(remedy);
    } else if !weights.is_empty() && weights.iter().all(|weight| *weight == 0) {
        let remedy = "give at least one more than 0, or leave the weights out";
        section.findings().error(section.place("to"), "all weights are 0").remedy(remedy);
    }
    (to, weights)
}

fn read_header(section: &Section<'_>) -> Option<HeaderMatch> {
    let header = section.table("header");
    let name = header.parsed("name", |text| match is_token(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no name of a header field")),
    });
    let pattern = header.parsed("matches", |text| match regex::Regex::new(text) {
        Ok(pattern) => Ok(pattern),
        Err(error) => Err(format!("`{text}` is no regular expression: {}", told(&error))),
    });
    let present = header.flag("present");
    let written = header.text("matches").is_some();
    if header.is_present() {
        if header.text("name").is_none() {
            header.missing("name", "name the header field: header = { name = \"X-Customer\", present = true }");
        }
        if written == present.is_some() {
            let message = "a condition on a header field is either matches or present";
            let remedy = "write matches = \"a regular expression\", or present = true or false";
            section.findings().error(section.place("header"), message).remedy(remedy);
        }
    }
    header.finish();
    let test = pattern.map(|pattern| HeaderTest::Matches(pattern.into_inner())).or(present.map(HeaderTest::Present))?;
    Some(HeaderMatch { name: name?.into_inner().into(), test })
}

fn read_time(section: &Section<'_>) -> Option<Schedule> {
    let time = section.table("time");
    if !time.is_present() {
        return None;
    }
    let every_day = time.items("days").is_none();
    let days = time.some("days", days_of).into_iter().fold(0, |all, days| all | days);
    let from = time.parsed("from", |text| minute_of(text, 24 * 60 - 1)).map(Spanned::into_inner);
    let until = time.parsed("to", |text| minute_of(text, 24 * 60)).map(Spanned::into_inner);
    let zone = time.parsed("zone", zone_of).map(Spanned::into_inner);
    if time.text("zone").is_none() {
        time.missing("zone", "say whose clocks: zone = \"Europe/Berlin\", or \"UTC\"");
    }
    let (from, until) = (from.unwrap_or(0), until.unwrap_or(24 * 60));
    if from == until {
        let remedy = "leave both out for the whole day";
        section.findings().error(time.place("to"), "the hours end when they begin").remedy(remedy);
    }
    let days = if every_day { 0b111_1111 } else { days };
    time.finish();
    Some(Schedule { days, from, until, zone: zone? })
}

/// One day, or several in a row: `mon-fri`.
fn days_of(text: &str) -> Result<u8, String> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = |text: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(text.trim()));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Some(first), Some(last)) = (day(first), day(last)) else {
        return Err(format!("`{text}` is no day; write \"mon\", or \"mon-fri\""));
    };
    let count = (last + 7 - first) % 7 + 1;
    Ok((first..first + count).fold(0, |days, day| days | 1 << (day % 7)))
}

/// A time of day as the minute it is; `24:00` where `most` allows it.
fn minute_of(text: &str, most: u16) -> Result<u16, String> {
    let fault = || format!("`{text}` is no time of day; write for example \"08:00\"");
    let (hour, minute) = text.split_once(':').ok_or_else(fault)?;
    let part = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2 && !text.starts_with('+'));
    let (hour, minute) = part(hour).zip(part(minute)).ok_or_else(fault)?;
    let minutes = hour * 60 + minute;
    if minute < 60 && minutes <= most { Ok(minutes) } else { Err(fault()) }
}

/// The clocks of a zone, from a year ago to [`YEARS`] ahead.
fn zone_of(name: &str) -> Result<Arc<Zone>, String> {
    let zone = jiff::tz::TimeZone::get(name).map_err(|_| {
        format!("`{name}` is no time zone that this system knows; write for example \"Europe/Berlin\" (package tzdata)")
    })?;
    let year = jiff::SignedDuration::from_hours(366 * 24);
    let now = jiff::Timestamp::now();
    let begin = now.checked_sub(year).unwrap_or(now);
    let end = now.as_second().saturating_add(YEARS * year.as_secs());
    let changes = zone.following(begin).take_while(|change| change.timestamp().as_second() <= end);
    let changes = changes.map(|change| (change.timestamp().as_second(), change.offset().seconds()));
    let offsets = std::iter::once((begin.as_second(), zone.to_offset(begin).seconds())).chain(changes).collect();
    Ok(Arc::new(Zone { name: name.to_owned(), offsets }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_stand_alone_or_in_a_row_over_the_week_s_end() {
        assert_eq!((days_of("mon-fri"), days_of("Sat")), (Ok(0b001_1111), Ok(0b010_0000)));
        assert_eq!((days_of("sat-mon"), days_of("mon-sun")), (Ok(0b110_0001), Ok(0b111_1111)));
        assert!(days_of("monday").is_err() && days_of("").is_err() && days_of("mon-").is_err());
    }

    #[test]
    fn times_of_day_are_minutes() {
        assert_eq!((minute_of("08:30", 1439), minute_of("24:00", 1440)), (Ok(510), Ok(1440)));
        for text in ["24:00", "8:00", "08:60", "-1:00", "+8:00", "08", "08:00:00", ""] {
            assert!(minute_of(text, 1439).is_err(), "{text}");
        }
    }

    #[test]
    fn a_zone_is_a_table_of_its_clocks() {
        let berlin = zone_of("Europe/Berlin").unwrap();
        assert!(berlin.offsets.len() > 30, "two changes a year");
        assert!(berlin.offsets.is_sorted() && berlin.offsets.iter().all(|(_, offset)| [3600, 7200].contains(offset)));
        assert!(zone_of("UTC").unwrap().offsets.iter().all(|(_, offset)| *offset == 0));
        assert!(zone_of("Europe/Atlantis").unwrap_err().contains("no time zone"));
    }
}
