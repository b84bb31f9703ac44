//! Tables of docs/parser.md that tests write and read.

/// docs/parser.md has `expected` between the marks of `table`; `BLESS=1` writes it.
pub fn has(table: &str, expected: &str) {
    let docs = std::fs::read_to_string("docs/parser.md").expect("docs/parser.md");
    let (begin, end) = (format!("<!-- {table} -->\n"), format!("<!-- /{table} -->"));
    let start = docs.find(&begin).expect("where the table begins") + begin.len();
    let stop = docs.find(&end).expect("where the table ends");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write("docs/parser.md", [&docs[..start], expected, &docs[stop..]].concat()).expect("written");
        return;
    }
    assert!(
        &docs[start..stop] == expected,
        "table {table} of docs/parser.md is not true: run with BLESS=1\n{expected}"
    );
}
