//! How `top` draws a look.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Gauge, Paragraph, Sparkline};

use super::super::ui::time_text;
use super::look::{Look, Looks};

/// From here on a queue is worth a look, and from there on an alert.
const HIGH: f64 = 0.5;
const ALARM: f64 = 0.8;

/// Digits of a root that are shown.
const ROOT_DIGITS: usize = 24;

/// What is drawn beside the figures.
pub(super) struct Screen<'a> {
    pub(super) looks: &'a Looks,
    pub(super) url: &'a str,
    pub(super) is_paused: bool,
    pub(super) in_colour: bool,
}

impl Screen<'_> {
    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let rows = [
            Constraint::Length(2),
            Constraint::Length(8),
            Constraint::Length(6),
            Constraint::Min(3),
            Constraint::Length(1),
        ];
        let [head, flow, state, roots, foot] = Layout::vertical(rows).areas(frame.area());
        let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
        let [throughput, latency] = Layout::horizontal(halves).areas(flow);
        let [queues, health] = Layout::horizontal(halves).areas(state);
        frame.render_widget(Paragraph::new(self.headline()), head);
        self.throughput(frame, throughput);
        self.latency(frame, latency);
        self.queues(frame, queues);
        self.health(frame, health);
        self.roots(frame, roots);
        frame.render_widget(self.footer(), foot);
    }

    fn now(&self) -> &Look {
        &self.looks.now
    }

    fn style(&self, colour: Color) -> Style {
        match self.in_colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn headline(&self) -> Vec<Line<'static>> {
        let now = self.now();
        let (word, colour) = match (&self.looks.unreachable, now.safe_mode) {
            (Some(_), _) => ("no answer", Color::Red),
            (None, true) => ("safe-mode", Color::Red),
            (None, false) if !now.ready => ("not ready", Color::Red),
            (None, false) if now.degraded => ("degraded", Color::Yellow),
            (None, false) => ("ready", Color::Green),
        };
        let reason = self.looks.unreachable.clone().unwrap_or_else(|| now.reason.clone());
        let sizes = format!("   head {}   published {}", count(now.head), count(now.published));
        let state = Span::styled(word, self.style(colour).add_modifier(Modifier::BOLD));
        vec![
            Line::from(vec![Span::raw("ron-ledger   "), state, Span::raw(sizes)]),
            Line::from(Span::styled(reason, self.style(colour))),
        ]
    }

    fn throughput(&self, frame: &mut Frame<'_>, area: Rect) {
        let (now, block) = (self.now(), Block::bordered().title(" throughput, each second "));
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let [figures, curve] =
            Layout::vertical([Constraint::Length(4), Constraint::Min(1)]).areas(inner);
        let a_commit = if now.commits > 0.0 { now.entries / now.commits } else { 0.0 };
        let lines = [
            format!("entries  {:>10}  a commit {:>7.1}", count(now.entries), a_commit),
            format!("commits  {:>10}", count(now.commits)),
            format!("requests {:>10}  5xx      {:>7}", count(now.requests), count(now.errors)),
            format!("refused  {:>10}", count(now.rejected)),
        ];
        frame.render_widget(Paragraph::new(lines.map(Line::from).to_vec()), figures);
        let width = usize::from(curve.width);
        let skipped = self.looks.history.len().saturating_sub(width);
        let data: Vec<u64> = self.looks.history.iter().skip(skipped).copied().collect();
        frame.render_widget(Sparkline::default().data(data).style(self.style(Color::Cyan)), curve);
    }

    fn latency(&self, frame: &mut Frame<'_>, area: Rect) {
        let now = self.now();
        // Of nothing there is no quantile.
        let cell = |ms: f64| match ms.is_finite() {
            true => format!("{ms:>9.2}"),
            false => format!("{:>9}", "-"),
        };
        let row = |name: &str, [p50, p95, p99]: [f64; 3]| {
            Line::from(format!("{name:<10}{}{}{}", cell(p50), cell(p95), cell(p99)))
        };
        let lines = vec![
            Line::from(format!("{:<10}{:>9}{:>9}{:>9}", "", "p50", "p95", "p99")),
            row("durable", now.commit_ms),
            row("answered", now.answer_ms),
            Line::default(),
            Line::from(format!("CPU     {:>8.2} cores", now.cores)),
            Line::from(format!(
                "memory  {:>8.0} MiB   disk {:.0} %",
                now.memory_bytes / 1_048_576.0,
                now.disk_percent
            )),
        ];
        let block = Block::bordered().title(" latency, ms ");
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    fn queues(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = Block::bordered().title(" queues ");
        let inner = block.inner(area);
        frame.render_widget(block, area);
        for (level, row) in self.now().levels.iter().zip(inner.rows()) {
            let [name, bar] =
                Layout::horizontal([Constraint::Length(10), Constraint::Min(1)]).areas(row);
            let colour = match level.share() {
                share if share >= ALARM => Color::Red,
                share if share >= HIGH => Color::Yellow,
                _ => Color::Green,
            };
            let label = format!("{} / {}", count(level.depth), count(level.capacity));
            let gauge = Gauge::default().ratio(level.share()).label(label);
            frame.render_widget(level.name, name);
            frame.render_widget(gauge.gauge_style(self.style(colour)), bar);
        }
    }

    fn health(&self, frame: &mut Frame<'_>, area: Rect) {
        let breaker = |(target, seconds): &(&str, f64)| {
            let (text, colour) = match *seconds > 0.0 {
                true => (format!("open for {seconds:.0} s"), Color::Red),
                false => ("closed".to_owned(), Color::Green),
            };
            Line::from(vec![
                Span::raw(format!("{target:<10}")),
                Span::styled(text, self.style(colour)),
            ])
        };
        let lines: Vec<Line<'_>> = self.now().breakers.iter().map(breaker).collect();
        frame.render_widget(
            Paragraph::new(lines).block(Block::bordered().title(" breakers ")),
            area,
        );
    }

    fn roots(&self, frame: &mut Frame<'_>, area: Rect) {
        let newest_first = self.looks.roots.iter().rev();
        let line = |(size, root, time): &(u64, String, u64)| {
            let root: String = root.chars().take(ROOT_DIGITS).collect();
            Line::from(format!("{:>14}  {root}...  {}", count(*size as f64), time_text(*time)))
        };
        let lines: Vec<Line<'_>> = newest_first.map(line).collect();
        let block = Block::bordered().title(" published roots ");
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    fn footer(&self) -> Line<'static> {
        let paused = if self.is_paused { "   PAUSED" } else { "" };
        Line::from(format!("q quit   space pause   {}{paused}", self.url))
    }
}

/// A whole number with its thousands apart.
fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::look::tests::busy;
    use super::*;

    fn drawn(looks: &Looks, (width, height): (u16, u16)) -> String {
        let screen =
            Screen { looks, url: "http://127.0.0.1:9909", is_paused: false, in_colour: true };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_screen_shows_throughput_latency_queues_breakers_and_roots() {
        let shown = drawn(&busy(), (80, 24));
        for part in [
            "degraded   head 105,000   published 104,800",
            "the breaker of kms is open",
            "entries       2,000  a commit   100.0",
            "durable        5.00     9.50     9.90",
            "64 / 256",
            "kms       open for 12 s",
            "wallet    closed",
            "99,005  cdcdcdcdcdcdcdcdcdcdcdcd...",
        ] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        let mut looks = busy();
        looks.now.commit_ms = [f64::INFINITY; 3];
        let shown = drawn(&looks, (80, 24));
        assert!(shown.contains("durable           -        -        -"), "{shown}");
    }

    #[test]
    fn no_size_of_a_terminal_is_too_small() {
        let mut looks = busy();
        looks.unreachable = Some("connection refused".into());
        for size in [(1, 1), (20, 5), (300, 100)] {
            drawn(&looks, size);
        }
        assert!(drawn(&looks, (80, 24)).contains("no answer"));
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            [0.0, 999.4, 1_000.0, 1_234_567.0].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
