//! Damage and clumsy tampering: each is found, and named by its line.

use serde_json::Value;

use super::*;

/// The same meaning in another spelling: ids and canonical bytes in capitals.
fn meaning(line: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_str(line).ok()?;
    for field in ["id", "reference", "canonical"] {
        if let Some(text) = value.get(field).and_then(Value::as_str) {
            value[field] = Value::String(text.to_lowercase());
        }
    }
    Some(value)
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_its_line_named() {
    let mut log = log_of_all_kinds(HashAlgo::Blake3);
    log.entries.truncate(5);
    let (place, lines) = (Place::new(), log.all());
    let good = format!("{}\n", lines.join("\n")).into_bytes();
    let mut harmless = 0;
    for at in 0..good.len() - 1 {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at * 5 % 8);
        let report = place.put(&bad);
        let number = good[..at].iter().filter(|byte| **byte == b'\n').count();
        let begin = good[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let Some(problem) = report.problem else {
            let text = String::from_utf8(bad).unwrap();
            let line = text[begin..].lines().next().unwrap();
            assert_eq!(meaning(line), meaning(&lines[number]), "{line}");
            harmless += 1;
            continue;
        };
        let told = problem.line.unwrap() as usize;
        let time = lines[number].find("committed_at\":").unwrap_or(usize::MAX - 20);
        let in_time = (time + 14..time + 18).contains(&(at - begin));
        match number {
            // What a header says may first be missed further down.
            0 => assert!((1..=lines.len()).contains(&told)),
            _ if in_time => assert!(told >= number, "{problem:?}"),
            _ => assert_eq!(told, number + 1, "{problem:?}"),
        }
    }
    assert!(harmless < good.len() / 8, "{harmless}");
}

/// Takes the lines apart, and tells the line that must be named.
fn check(what: &str, expected: u64, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines = log_of_all_kinds(HashAlgo::Blake3).all();
    change(&mut lines);
    let report = Place::new().verify(&lines);
    let problem = report.problem.unwrap_or_else(|| panic!("{what} is not found"));
    assert!(!report.verified);
    assert_eq!(problem.line, Some(expected), "{what}: {problem:?}");
}

#[test]
fn moved_lost_doubled_and_changed_lines_are_named() {
    check("swapped lines", 5, |lines| lines.swap(4, 5));
    check("a dropped line", 7, |lines| drop(lines.remove(6)));
    check("a dropped last entry", 15, |lines| drop(lines.remove(14)));
    check("a doubled line", 8, |lines| lines.insert(7, lines[6].clone()));
    check("a doubled last entry", 16, |lines| lines.insert(15, lines[14].clone()));
    check("a changed amount", 2, |lines| lines[1] = lines[1].replace("\"100\"", "\"101\""));
    check("a changed account", 3, |lines| lines[2] = lines[2].replace("bob", "bab"));
    check("a field more", 3, |lines| lines[2] = lines[2].replace("{", "{\"x\":1,"));
    check("a field less", 3, |lines| lines[2] = lines[2].replace("\"v\":1,", ""));
    check("a field twice", 3, |lines| lines[2] = lines[2].replace("\"v\":1,", "\"v\":1,\"v\":1,"));
    check("another nonce", 3, |lines| lines[2] = lines[2].replace("nonce\":\"A", "nonce\":\"B"));
    check("a changed time", 16, |lines| lines[1] = lines[1].replace(":1010,", ":1009,"));
    check("an empty line", 4, |lines| lines.insert(3, String::new()));
    check("no trailer", 16, |lines| drop(lines.pop()));
    check("no header", 1, |lines| drop(lines.remove(0)));
    check("a line more", 17, |lines| lines.push("{}".into()));
    check("a line without end", 3, |lines| lines[2] = " ".repeat(LINE_BYTES_MAX + 5));
    check("another format", 1, |lines| lines[0] = lines[0].replace(FORMAT, "x"));
    check("another version", 1, |lines| lines[0] = lines[0].replace("version\":1", "version\":2"));
    check("an empty range", 1, |lines| lines[0] = lines[0].replace("\"from\":1", "\"from\":0"));
    check("a huge range", 16, |lines| {
        lines[0] = lines[0].replace("14", &(u64::MAX >> 1).to_string());
    });
    assert!(Place::new().put(b"").problem.is_some());
    assert!(Place::new().put(b"\0\n").problem.is_some());
}

#[test]
fn a_checkpoint_of_another_ledger_or_key_or_size_is_refused() {
    let log = log_of_all_kinds(HashAlgo::Blake3);
    let mut shorter = log.clone();
    shorter.entries.truncate(12);
    let foreign = |origin: &str, seed: u8, lines: &mut Vec<String>| {
        let mut trailer: Trailer = serde_json::from_str(&lines.pop().unwrap()).unwrap();
        let signer = Signer::new(origin, &[seed; 32]).unwrap();
        let text = trailer.checkpoint.split_inclusive('\n').take(3).collect::<String>();
        let root = Checkpoint::parse(&text).unwrap().root();
        let checkpoint = Checkpoint::new(origin, 14, root).unwrap();
        trailer.checkpoint = note(&signer, &checkpoint);
        lines.push(serde_json::to_string(&trailer).unwrap());
    };
    let signature = |what: &str, lines: &[String]| {
        let problem = Place::new().verify(lines).problem.unwrap_or_else(|| panic!("{what}"));
        assert_eq!((problem.check, problem.line), (Check::Signature, Some(16)), "{what}");
    };
    let mut lines = log.all();
    foreign(ORIGIN, 8, &mut lines);
    signature("another key", &lines);
    let mut lines = log.all();
    foreign("ledger.example/b", 7, &mut lines);
    signature("another origin", &lines);
    let mut lines = log.all();
    let trailer: Trailer = serde_json::from_str(shorter.all().last().unwrap()).unwrap();
    let mut own: Trailer = serde_json::from_str(lines.last().unwrap()).unwrap();
    own.checkpoint = trailer.checkpoint;
    *lines.last_mut().unwrap() = serde_json::to_string(&own).unwrap();
    signature("another size", &lines);
    let mut lines = log.all();
    lines[0] = lines[0].replace(ORIGIN, "ledger.example/c");
    signature("another origin in the header", &lines);
}
