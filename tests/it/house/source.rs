//! A source file as the rules see it: its code without comments and without what literals say, the
//! same without tests, its literals, and the paths that it names.

use std::fmt;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A word or a mark of the code, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

/// A path as `use` or an expression names it, groups spread out: `["crate", "ledger", "plan"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    pub segments: Vec<String>,
}

pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    pub text: String,
    /// All code.
    pub tokens: Vec<Token>,
    /// The code that is part of the programs: none of it in a file that only tests have.
    pub shipped: Vec<Token>,
    /// What string literals say.
    pub literals: Vec<Token>,
}

impl Source {
    pub fn new(path: &str, text: &str, is_test: bool) -> Self {
        let (code, literals) = split(text);
        let shipped = if is_test { String::new() } else { without_tests(&code) };
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            tokens: tokens(&code),
            shipped: tokens(&shipped),
            literals,
        }
    }

    pub fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    /// The modules from the crate's root to this file: `["http", "parse"]`.
    pub fn modules(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').filter(|part| !matches!(*part, "mod" | "lib")).collect()
    }

    /// All paths of the shipped code that begin at `root` (`crate`, `super`, `std`).
    pub fn paths_from(&self, root: &str) -> Vec<Named> {
        let mut found = Vec::new();
        for at in 0..self.shipped.len() {
            let begins = at == 0 || !matches!(self.shipped[at - 1].text.as_str(), "::" | ".");
            if begins && self.shipped[at].text == root && self.text_at(at + 1) == "::" {
                self.spread(at, Vec::new(), &mut found);
            }
        }
        found
    }

    fn text_at(&self, at: usize) -> &str {
        self.shipped.get(at).map_or("", |token| token.text.as_str())
    }

    /// Follows a path from token `at`, and each branch of a group. Returns where it ends.
    fn spread(&self, mut at: usize, mut segments: Vec<String>, found: &mut Vec<Named>) -> usize {
        loop {
            let line = self.shipped.get(at).map_or(0, |token| token.line);
            if self.text_at(at) == "{" {
                at += 1;
                while !matches!(self.text_at(at), "}" | "") {
                    at = match self.text_at(at) {
                        "," | "as" => at + 1,
                        _ => self.spread(at, segments.clone(), found),
                    };
                }
                return at + 1;
            }
            segments.push(self.text_at(at).to_owned());
            if self.text_at(at + 1) != "::" {
                found.push(Named { line, segments });
                return at + 1;
            }
            at += 2;
        }
    }
}

/// The code with comments and the content of literals blanked, line by line as it was, and what the
/// string literals say.
fn split(text: &str) -> (String, Vec<Token>) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut literals) = (String::with_capacity(text.len()), Vec::new());
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let after_word = at > 0 && is_word(chars[at - 1]);
        let (end, quotes) = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => (line_end(&chars, at), None),
            '/' if chars.get(at + 1) == Some(&'*') => (block_end(&chars, at), None),
            '"' => (quoted_end(&chars, at), Some(1)),
            'r' if !after_word || chars[at - 1] == 'b' => match raw_end(&chars, at) {
                Some((end, hashes)) => (end, Some(hashes + 2)),
                None => (at, None),
            },
            '\'' => (char_end(&chars, at), None),
            _ => (at, None),
        };
        if end == at {
            code.push(chars[at]);
            line += usize::from(chars[at] == '\n');
            at += 1;
            continue;
        }
        if let Some(quotes) = quotes {
            let from = (at + quotes).min(end);
            let said = chars[from..end].iter().collect::<String>();
            literals.push(Token { line, text: said.trim_end_matches(['"', '#']).to_owned() });
        }
        for &char in &chars[at..end] {
            code.push(if char == '\n' { '\n' } else { ' ' });
            line += usize::from(char == '\n');
        }
        at = end;
    }
    (code, literals)
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

fn line_end(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&at| chars[at] == '\n').unwrap_or(chars.len())
}

fn block_end(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_end(chars: &[char], from: usize) -> Option<(usize, usize)> {
    let hashes = chars[from + 1..].iter().take_while(|&&char| char == '#').count();
    let open = from + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |at: usize| {
        chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    let close = (open + 1..chars.len()).find(|&at| closes(at))?;
    Some((close + 1 + hashes, hashes))
}

/// The end of a character; where none begins (a lifetime), `from` itself.
fn char_end(chars: &[char], from: usize) -> usize {
    match chars.get(from + 1) {
        Some('\\') => {
            let close = (from + 3..chars.len()).find(|&at| chars[at] == '\'');
            close.map_or(from, |close| close + 1)
        }
        Some(_) if chars.get(from + 2) == Some(&'\'') => from + 3,
        _ => from,
    }
}

/// Blanks each item that follows `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut rest = code;
    let mut kept = String::with_capacity(code.len());
    while let Some((before, item)) = rest.split_once(MARK) {
        kept.push_str(before);
        let end = item_end(item);
        kept.extend(item[..end].chars().filter(|&char| char == '\n'));
        rest = &item[end..];
    }
    kept.push_str(rest);
    kept
}

fn item_end(item: &str) -> usize {
    let mut depth = 0;
    for (at, char) in item.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (at, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                _ if rest.starts_with("::") => 2,
                _ if is_word(first) => rest.find(|char| !is_word(char)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            found.push(Token { line: at + 1, text: rest[..length].to_owned() });
            rest = rest[length..].trim_start();
        }
    }
    found
}

#[test]
fn comments_literals_and_tests_are_no_code() {
    let text = "fn a<'x>() { '{' } // unsafe {\n/* a /* b */ unsafe */ let s = \"x \\\" y\";\n\
                let r = r#\"raw \"z\"\"#;\n#[cfg(test)]\nmod tests { fn t() {} }\nfn b() {}";
    let source = Source::new("src/x.rs", text, false);
    let words: Vec<&str> = source.shipped.iter().map(|token| token.text.as_str()).collect();
    let all = "fn a < ' x > ( ) { } let s = ; let r = ; fn b ( ) { }";
    assert_eq!(words, all.split(' ').collect::<Vec<_>>());
    assert_eq!(source.shipped.last().unwrap().line, 6);
    let said: Vec<(usize, &str)> = source.literals.iter().map(|t| (t.line, &*t.text)).collect();
    assert_eq!(said, [(2, "x \\\" y"), (3, "raw \"z")]);
    assert!(source.tokens.iter().any(|token| token.text == "tests"));
}

#[test]
fn groups_are_spread_to_paths() {
    let text = "use crate::{a::{self, B as C}, d};\nfn f() { crate::e::g(); x::crate::no(); }";
    let source = Source::new("src/x.rs", text, false);
    let paths: Vec<String> =
        source.paths_from("crate").iter().map(|named| named.segments.join("::")).collect();
    let all = ["crate::a::self", "crate::a::B", "crate::a::C", "crate::d", "crate::e::g"];
    assert_eq!(paths, all);
}
