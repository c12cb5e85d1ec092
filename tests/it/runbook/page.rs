//! What `RUNBOOK.md` says, taken apart: the commands of its blocks, and the rows of its tables, each
//! under its heading.

/// A line of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The heading that it stands under.
    pub section: String,
    pub text: String,
}

fn line(section: &str, text: &str) -> Line {
    Line { section: section.to_owned(), text: text.trim_end().to_owned() }
}

/// Commands in order: of blocks of shell, one for each line, those that go on after a backslash as one;
/// of other blocks the whole block.
pub fn commands(page: &str) -> Vec<Line> {
    let (mut section, mut found) = (String::new(), Vec::<Line>::new());
    let mut lines = page.lines().map(str::trim_start);
    while let Some(text) = lines.next() {
        if let Some(heading) = text.strip_prefix('#') {
            section = heading.trim_start_matches('#').trim().to_owned();
        }
        let Some(language) = text.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|text| !text.starts_with("```")).collect();
        match language {
            "sh" => {
                let joined = block.join("\n").replace("\\\n", "");
                let shell = joined.lines().filter(|text| !text.is_empty());
                found.extend(shell.map(|text| line(&section, text)));
            }
            _ => found.push(line(&section, &block.join("\n"))),
        }
    }
    found
}

/// The rows of the tables whose header begins with one of these, in order.
pub fn rows(page: &str, headers: &[&str]) -> Vec<Line> {
    let (mut section, mut found, mut wanted) = (String::new(), Vec::new(), false);
    let lines: Vec<&str> = page.lines().collect();
    for (at, text) in lines.iter().enumerate() {
        if let Some(heading) = text.strip_prefix('#') {
            section = heading.trim_start_matches('#').trim().to_owned();
        }
        let Some(row) = text.strip_prefix("| ") else { continue };
        let cell = row.split(" |").next().unwrap_or_default();
        if lines.get(at + 1).is_some_and(|next| next.starts_with("|---")) {
            wanted = headers.contains(&cell);
        } else if wanted {
            found.push(line(&section, row));
        }
    }
    found
}

#[test]
fn a_page_is_taken_apart() {
    let page = "# One\n```sh\na \\\n  b\nc # d\n```\n## Two\n   ```toml\n   x = 1\n\n   y = 2\n   ```\n\
                | reason | do |\n|---|---|\n| `r` | x |\n\n| other |\n|---|\n| `s` |\n";
    let texts = |lines: Vec<Line>| -> Vec<(String, String)> {
        lines.into_iter().map(|line| (line.section, line.text)).collect()
    };
    let pair = |section: &str, text: &str| (section.to_owned(), text.to_owned());
    assert_eq!(
        texts(commands(page)),
        [pair("One", "a b"), pair("One", "c # d"), pair("Two", "x = 1\n\ny = 2")]
    );
    assert_eq!(texts(rows(page, &["reason"])), [pair("Two", "`r` | x |")]);
}
