//! Heads that are made to be read in two ways.

use super::head;
use proptest::collection::vec;
use proptest::prelude::*;

/// Pieces of heads that turn on where lines, names, values and the head itself end.
pub fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "Content-Length",
        "content-length",
        "CONTENT-LENGTH",
        "l",
        "L",
        "Contact",
        "c",
        "Call-ID",
        "From",
        "X",
        ":",
        ": ",
        " :",
        "\t:",
        "\r\n :",
        ":\r\n ",
        " ",
        "\t",
        "\r\n",
        "\r\n ",
        "\r\n\t",
        "\r\n \r\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "\n ",
        "\r\r\n",
        "\r\n\n",
        "\0",
        "\u{b}",
        "\u{c}",
        "\"",
        "\\",
        "\\\0",
        "<",
        ">",
        ",",
        ";",
        "0",
        "00",
        "1",
        "3",
        "12",
        "+",
        "-",
        "0x",
        "4294967296",
        "18446744073709551616",
        "abc",
        "é",
    ]);
    let line = prop::sample::select(vec![
        "l: 3\r\n",
        "Content-Length: 3\r\n",
        "Content-Length:\r\n 3\r\n",
        "l : 3\r\n",
        "L\r\n : 3\r\n",
        "l: 12\r\n",
        "l: 0\r\n",
        "l: 3 \r\n",
        "X: 1\r\n l: 3\r\n",
        "Subject: \"\\\0\"\r\n",
        "Max-Forwards: 70\r\n",
        "\r\n",
    ]);
    let pieces = vec(prop_oneof![2 => piece, 3 => line], 0..12);
    let body = prop::sample::select(vec!["", "abc", "abc\r\n\r\ndef", "\r\nl: 3\r\n\r\nabcdefghi", "abcdefghijklmnop"]);
    (any::<prop::sample::Index>(), pieces, body).prop_map(|(place, pieces, body)| {
        let plain = head("", "Subject: 1");
        let lines: Vec<&str> = plain.split_inclusive("\r\n").collect();
        let at = 1 + place.index(lines.len());
        [&lines[..at].concat(), &pieces.concat(), &lines[at..].concat(), "\r\n", body].concat().into_bytes()
    })
}
