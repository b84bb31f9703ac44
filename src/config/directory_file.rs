//! The directory's CSV file: columns `number`, `user`, `active`.
//!
//! A row that cannot be read is reported and left out; the others count. A file that cannot be read as
//! a whole is a [`Finding`], and whoever asked keeps the directory it has.

use super::finding::{Finding, Severity, Source};
use super::numbering::doubt;
use super::section::distance;
use crate::directory::{Directory, Entry};
use crate::number::Number;
use crate::pii::Pii;
use crate::settings::Settings;
use crate::trunk::Kind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// More rows than any tenant has numbers; bounds what a wrong file can take of memory.
const MAX_ROWS: usize = 2_000_000;

/// The most findings kept: an operator mends a few rows by hand, and what is wrong with all of them at its source.
/// Each costs a look for its line, so that without a bound a wrong file would hold up a reload for hours.
const MAX_FINDINGS: usize = 100;

/// A directory as read, with what is wrong with its rows.
#[derive(Debug)]
pub struct ReadDirectory {
    /// The rows that count.
    pub directory: Directory,
    /// Bad rows as errors, doubtful ones as warnings; they name lines and never numbers. The first hundred, and
    /// one more that says how many there are.
    pub findings: Vec<Finding>,
    /// How many of the numbers each other platform says it owns, by its trunk (GEN-90); trunks without any are left out.
    pub overlaps: Vec<(Arc<str>, usize)>,
}

/// The directory that `settings` names; an empty one when it names none.
///
/// # Errors
///
/// As [`read`].
pub fn of_settings(settings: &Settings) -> Result<ReadDirectory, Finding> {
    let Some(path) = &settings.directory else {
        let (directory, findings, overlaps) = (Directory::default(), Vec::new(), Vec::new());
        return Ok(ReadDirectory { directory, findings, overlaps });
    };
    let mut found = read(path, &settings.edge.country_code)?;
    // That Teams owns them is what the directory says.
    for trunk in settings.trunks.iter().filter(|trunk| trunk.trunk.kind != Kind::Teams && !trunk.dids.is_empty()) {
        let owned = |number: &Number| trunk.dids.iter().any(|pattern| pattern.matches(number));
        let count = found.directory.iter().filter(|entry| owned(&entry.number)).count();
        if count == 0 {
            continue;
        }
        let owner = &trunk.trunk.name;
        let message = format!("{count} numbers are also in dids of trunk `{owner}`: they ring there, not in Teams");
        let finding = Finding::of_file(Severity::Warning, path, message);
        let finding = finding.remedy("give each number to one platform: remove the rows, or narrow dids");
        found.findings.push(Finding { rule: Some("GEN-90"), ..finding });
        found.overlaps.push((owner.clone(), count));
    }
    Ok(found)
}

/// The longest file read, in octets: some millions of users.
const MAX_FILE: u64 = 256 << 20;

/// Reads the file at `path`. `country_code` is the calling code of numbers without `+`, digits only.
///
/// # Errors
///
/// One finding when the file cannot be opened, has not the columns, or has no row that can be read
/// although it has rows.
pub fn read(path: &Path, country_code: &str) -> Result<ReadDirectory, Finding> {
    let whole = |message: String| Finding::of_file(Severity::Error, path, message);
    let text = super::read_text(path, MAX_FILE).map_err(|error| {
        let remedy = super::remedy_unread(&error, "see [directory] file in the configuration");
        whole(format!("the directory cannot be read: {error}")).remedy(remedy)
    })?;
    parse(Source { path: path.to_owned(), text }, country_code)
}

fn parse(source: Source, country_code: &str) -> Result<ReadDirectory, Finding> {
    let source = Arc::new(source);
    let at = |severity, span: Option<Range<usize>>, message: String| {
        let source = Arc::clone(&source);
        Finding { severity, message, remedy: None, rule: None, source, span }
    };
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let skipped = source.text.len() - text.len();
    let separator = if text.lines().next().is_some_and(|line| line.contains(';')) { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .trim(csv::Trim::All)
        .flexible(true)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let columns = reader.headers().map(Columns::of).unwrap_or_default();
    let (Some(number), Some(user)) = (columns.number, columns.user) else {
        let finding = at(Severity::Error, None, "the directory lacks its columns".to_owned());
        return Err(finding.remedy("the first line has to be: number,user,active (or with ; in place of each comma)"));
    };

    let (mut entries, mut places, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bad, mut doubtful) = (0, 0);
    findings.extend(misspelt(&columns, reader.headers().ok()).map(|(name, near)| {
        let message = format!("column `{name}` is passed over, and without column `active` everybody is active");
        let line = skipped..skipped + text.lines().next().map_or(0, str::len);
        at(Severity::Warning, Some(line), message).remedy(format!("did you mean `{near}`?"))
    }));
    let mut row = csv::StringRecord::new();
    loop {
        let start = octet(reader.position());
        match reader.read_record(&mut row) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                findings.push(at(Severity::Error, None, format!("a row cannot be read: {error}")));
                break;
            }
        }
        // Behind the end of the row before, of which a line feed may be left.
        let start = row.position().map_or(start, octet) + skipped;
        let ends = source.text.get(start..).unwrap_or("").bytes().take_while(|octet| b"\r\n".contains(octet)).count();
        let start = start + ends;
        let line = source.text.get(start..).unwrap_or("").lines().next().map_or(0, str::len);
        let place = start..start + line;
        if places.len() >= MAX_ROWS {
            findings.push(at(Severity::Error, Some(place), format!("only the first {MAX_ROWS} rows are read")));
            break;
        }
        let active = columns.active.and_then(|column| row.get(column));
        let read = entry(row.get(number), row.get(user), active, country_code);
        match read {
            Ok(entry) => {
                if doubtful < MAX_FINDINGS
                    && let Some(doubt) = doubt(&entry.number)
                {
                    doubtful += 1;
                    let found = at(Severity::Warning, Some(place.clone()), format!("the number is odd: {doubt}"));
                    findings.push(found.remedy("look for a digit too many, too few or wrong"));
                }
                entries.push(entry);
                places.push(place);
            }
            Err(fault) => {
                bad += 1;
                if bad <= MAX_FINDINGS {
                    findings.push(at(Severity::Error, Some(place), fault));
                }
            }
        }
    }
    let first = findings.iter().find(|finding| finding.severity == Severity::Error);
    if let Some(first) = first.filter(|_| entries.is_empty()) {
        let message = format!("no row of the directory can be read; the first: {}", first.message);
        return Err(at(Severity::Error, first.span.clone(), message));
    }
    let (directory, conflicts) = Directory::new(entries);
    let wrong = bad + doubtful + conflicts.len();
    for conflict in conflicts.into_iter().take(MAX_FINDINGS) {
        let line = |index| places.get(index).map_or(0, |place: &Range<usize>| source.position(place.start).0);
        let message = format!("this number stands in line {} too, which counts", line(conflict.kept));
        let place = places.get(conflict.dropped).cloned();
        findings.push(at(Severity::Warning, place, message).remedy("keep one row for each number"));
    }
    findings.sort_by_key(|finding| finding.span.as_ref().map_or(usize::MAX, |span| span.start));
    if wrong > MAX_FINDINGS {
        findings.truncate(MAX_FINDINGS);
        let message = format!("{wrong} rows are bad, odd or stand twice: only the first are shown");
        findings.push(at(Severity::Error, None, message).remedy("mend what writes the file"));
    }
    Ok(ReadDirectory { directory, findings, overlaps: Vec::new() })
}

/// Where the columns are that the first line names.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    number: Option<usize>,
    user: Option<usize>,
    active: Option<usize>,
}

impl Columns {
    fn of(headers: &csv::StringRecord) -> Self {
        let column = |name: &str| headers.iter().position(|header| header.eq_ignore_ascii_case(name));
        Self { number: column("number"), user: column("user"), active: column("active") }
    }
}

/// A column that looks like a slip for `active` where that is missing, which would have everybody called.
fn misspelt(columns: &Columns, headers: Option<&csv::StringRecord>) -> Option<(String, &'static str)> {
    const ACTIVE: &str = "active";
    let slip = |header: &&str| (1..=2).contains(&distance(&header.to_ascii_lowercase(), ACTIVE));
    let found = headers?.iter().find(slip).filter(|_| columns.active.is_none())?;
    Some((found.to_owned(), ACTIVE))
}

fn octet(position: &csv::Position) -> usize {
    usize::try_from(position.byte()).unwrap_or(usize::MAX)
}

/// One row; the fault never repeats what stands in it.
fn entry(number: Option<&str>, user: Option<&str>, active: Option<&str>, country: &str) -> Result<Entry, String> {
    let number = number.filter(|number| !number.is_empty()).ok_or("the row has no number")?;
    let number = Number::normalise(number, country).map_err(|error| format!("the number cannot be read: {error}"))?;
    let user = user.filter(|user| !user.is_empty()).ok_or("the row has no user")?;
    let active = match active.unwrap_or("").to_ascii_lowercase().as_str() {
        "" | "true" | "yes" | "1" => true,
        "false" | "no" | "0" => false,
        _ => return Err("active is neither true nor false".to_owned()),
    };
    Ok(Entry { number, user: Pii::new(user.to_owned()), active })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ReadDirectory, Finding> {
        parse(Source { path: "users.csv".into(), text: text.to_owned() }, "49")
    }

    fn user(found: &ReadDirectory, number: &str) -> Option<String> {
        let number = Number::normalise(number, "49").unwrap();
        found.directory.lookup(&number).map(|entry| entry.user.reveal().clone())
    }

    #[test]
    fn rows_become_entries_with_numbers_in_e164() {
        let text = "number,user,active\n+496955501007,alice@example.com,true\n\"069 555 01008\",\"Bob, B.\",no\n";
        let found = parsed(text).unwrap();
        assert!(found.findings.is_empty(), "{:?}", found.findings);
        assert_eq!(user(&found, "+496955501007").as_deref(), Some("alice@example.com"));
        assert_eq!(user(&found, "+496955501008").as_deref(), Some("Bob, B."));
        let active: Vec<bool> = found.directory.iter().map(|entry| entry.active).collect();
        assert!(active.contains(&true) && active.contains(&false));
    }

    #[test]
    fn what_goes_to_the_log_about_a_bad_row_shows_neither_number_nor_name() {
        let rows = "+4969555010070000000000000,alice@example.com,true\n+496955501008,bob@example.com,perhaps\n\
                    +496955501009,carol@example.com\n+496955501009,dave@example.com,true\nsomeone,eve@example.com,true\n";
        let found = parsed(&format!("number,user,active\n{rows}")).unwrap();
        assert!(found.findings.len() >= 3, "{:?}", found.findings);
        for finding in &found.findings {
            let line = finding.to_string();
            assert!(!line.contains("5550") && !line.contains("example.com"), "{line}");
        }
    }

    #[test]
    fn columns_may_come_in_any_order_with_semicolons_a_byte_order_mark_and_without_active() {
        let found = parsed("\u{feff}User;Number;Office\nalice;+496955501007;Frankfurt\n# a comment\n").unwrap();
        assert_eq!(user(&found, "+496955501007").as_deref(), Some("alice"));
        assert!(found.findings.is_empty(), "{:?}", found.findings);
    }

    #[test]
    fn a_bad_row_is_reported_with_its_line_and_the_others_count() {
        let text = "number,user,active\nnobody,x,true\n+496955501007,alice,true\n,bob,true\n+496955501009,,true\n+496955501010,eve,maybe\n";
        let found = parsed(text).unwrap();
        assert_eq!(found.directory.len(), 1);
        let lines: Vec<_> = found.findings.iter().filter_map(Finding::position).collect();
        assert_eq!(lines, [(2, 1), (4, 1), (5, 1), (6, 1)]);
        assert!(found.findings.iter().all(|finding| finding.severity == Severity::Error));
        let printed: String = found.findings.iter().map(ToString::to_string).collect();
        assert!(!printed.contains("nobody") && !printed.contains("5550"), "no personal data: {printed}");
    }

    #[test]
    fn a_number_that_stands_twice_is_a_warning_that_names_both_lines() {
        let found = parsed("number,user\n+496955501007,alice\n0049 69 55501007,bob\n").unwrap();
        let [warning] = found.findings.as_slice() else { panic!("{:?}", found.findings) };
        assert_eq!((warning.severity, warning.position()), (Severity::Warning, Some((3, 1))));
        assert!(warning.message.contains("line 2"), "{}", warning.message);
    }

    #[test]
    fn a_file_that_is_no_directory_is_one_finding() {
        assert!(parsed("<html>").unwrap_err().remedy.unwrap().contains("number,user,active"));
        assert!(parsed("").is_err());
        assert_eq!(parsed("number,user\nx,y\nz,w\n").unwrap_err().position(), Some((2, 1)));
        assert!(read(Path::new("/nonexistent/users.csv"), "49").unwrap_err().message.contains("cannot be read"));
    }

    #[test]
    fn lines_that_end_as_on_windows_are_counted_alike() {
        let found = parsed("number,user,active\r\n+496955501007,alice,true\r\n+496955501008,,true\r\n").unwrap();
        let [finding] = found.findings.as_slice() else { panic!("{:?}", found.findings) };
        assert_eq!(finding.position(), Some((3, 1)));
        let found = parsed("number,user\r\n+496955501007,alice\r\n+496955501007,bob\r\n").unwrap();
        let [warning] = found.findings.as_slice() else { panic!("{:?}", found.findings) };
        assert!(warning.position() == Some((3, 1)) && warning.message.contains("line 2"), "{warning}");
    }

    #[test]
    fn a_file_of_bad_rows_is_a_hundred_findings_and_how_many_there_are() {
        let rows: String = (0..3000).map(|row| format!("x{row},y\n+496955501007,alice\n")).collect();
        let found = parsed(&format!("number,user\n{rows}")).unwrap();
        assert_eq!((found.directory.len(), found.findings.len()), (1, MAX_FINDINGS + 1));
        assert!(found.findings[MAX_FINDINGS].message.contains("5999 rows"), "{}", found.findings[MAX_FINDINGS]);
        let bad = parsed(&format!("number,user\n+496955501007,alice\n{}", "x,y\n".repeat(3000))).unwrap();
        assert_eq!(bad.findings.len(), MAX_FINDINGS + 1);
        assert!(bad.findings[MAX_FINDINGS].message.contains("3000 rows"), "{}", bad.findings[MAX_FINDINGS]);
        let none = parsed(&format!("number,user\n{}", "x,y\n".repeat(3000))).unwrap_err();
        assert!(none.message.contains("not a telephone number"), "{none}");
    }

    #[test]
    fn a_slip_in_the_name_of_the_column_that_shuts_people_out_is_told() {
        let found = parsed("number,user,aktive\n+496955501007,alice,false\n").unwrap();
        assert!(found.findings[0].remedy.as_ref().unwrap().contains("`active`"), "{:?}", found.findings);
        assert!(parsed("number,user,office\n+496955501007,alice,x\n").unwrap().findings.is_empty());
    }

    #[test]
    fn a_directory_may_be_empty() {
        let found = parsed("number,user,active\n").unwrap();
        assert!(found.directory.is_empty() && found.findings.is_empty());
    }
}
