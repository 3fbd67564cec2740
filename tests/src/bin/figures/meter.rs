//! Measures work in CPU time of this thread, ours and a baseline in turns, and shows the table.

use std::cell::RefCell;
use std::fmt;
use std::time::{Duration, Instant};

use riskveil_crypto::kernel::{self, Choice};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Work is repeated until a round takes this long, so that the clock's own cost does not count.
const ROUND: Duration = Duration::from_millis(20);
const MIN_ROUNDS: usize = 5;
const MAX_ROUNDS: usize = 99;
/// Wall time after which a row has had enough rounds.
const ENOUGH: Duration = Duration::from_millis(1_500);

/// The figures so far.
#[derive(Default)]
pub(crate) struct Table {
    section: &'static str,
    rows: Vec<Row>,
}

struct Row {
    section: &'static str,
    what: &'static str,
    unit: &'static str,
    ours: Figure,
    /// The same work by the portable kernel.
    portable: Option<Figure>,
    baseline: Option<(&'static str, Figure)>,
}

/// What one unit costs.
enum Figure {
    /// Microseconds of CPU, and how much was measured.
    Time { minimum: f64, median: f64, rounds: usize, units_per_round: usize },
    /// Bytes.
    Size(f64),
}

impl Table {
    /// Begins a group of rows.
    pub(crate) fn section(&mut self, title: &'static str) {
        self.section = title;
    }

    /// Times work on `units` units.
    pub(crate) fn time(&mut self, what: &'static str, unit: &'static str, units: usize, ours: impl FnMut()) {
        let [ours, portable] = by_both(ours, |lanes, portable| in_turns(what, units, [lanes, portable]));
        self.rows.push(Row { section: self.section, what, unit, ours, portable: Some(portable), baseline: None });
    }

    /// Times work on `units` units, and in turns with it the baseline on as many.
    pub(crate) fn time_against(
        &mut self,
        what: &'static str,
        unit: &'static str,
        units: usize,
        ours: impl FnMut(),
        name: &'static str,
        mut baseline: impl FnMut(),
    ) {
        let [ours, portable, baseline] =
            by_both(ours, |lanes, portable| in_turns(what, units, [lanes, portable, &mut baseline]));
        let (portable, baseline) = (Some(portable), Some((name, baseline)));
        self.rows.push(Row { section: self.section, what, unit, ours, portable, baseline });
    }

    /// Notes the bytes of `units` units.
    pub(crate) fn size(
        &mut self,
        what: &'static str,
        unit: &'static str,
        units: usize,
        bytes: usize,
        baseline: Option<(&'static str, usize)>,
    ) {
        let each = |bytes: usize| Figure::Size(bytes as f64 / units as f64);
        let baseline = baseline.map(|(name, bytes)| (name, each(bytes)));
        self.rows.push(Row { section: self.section, what, unit, ours: each(bytes), portable: None, baseline });
    }

    /// One object a row.
    pub(crate) fn to_json(&self) -> Value {
        let row = |row: &Row| {
            let baseline =
                row.baseline.as_ref().map(|(name, figure)| json!({ "what": name, "figure": figure.to_json() }));
            json!({ "section": row.section, "what": row.what, "unit": row.unit, "ours": row.ours.to_json(),
                    "portable": row.portable.as_ref().map(Figure::to_json), "baseline": baseline, "ratio": row.ratio() })
        };
        self.rows.iter().map(row).collect()
    }
}

impl Row {
    /// How many times ours the baseline costs: above 1, ours is the cheaper one.
    fn ratio(&self) -> Option<f64> {
        self.baseline.as_ref().map(|(_, baseline)| baseline.typical() / self.ours.typical())
    }
}

impl Figure {
    fn typical(&self) -> f64 {
        match self {
            Self::Time { median, .. } => *median,
            Self::Size(bytes) => *bytes,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Time { minimum, median, rounds, units_per_round } => json!({
                "minimum_us": minimum, "median_us": median, "per_second": 1e6 / median,
                "rounds": rounds, "units": rounds * units_per_round,
            }),
            Self::Size(bytes) => json!({ "bytes": bytes }),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Kernel: {}. One thread. Times: its CPU time, us a unit. Portable: the same by the portable kernel. Baseline: the voprf crate (range\nproofs: the bulletproofs crate), less work than",
            riskveil_crypto::kernel::chosen().as_str()
        )?;
        writeln!(
            f,
            "ours except where both do one step of RFC 9497. Ratio: baseline / ours by the medians, above 1 ours is cheaper. Work: rounds x units."
        )?;
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                let (minimum, median) = ("minimum", "median");
                write!(
                    f,
                    "\n{section:<66} {minimum:>9} {median:>9} {:>10} {:>12} {:>9}",
                    "per second", "work", "portable"
                )?;
                writeln!(f, "   {:<25} {minimum:>9} {median:>9} {:>6}", "baseline", "ratio")?;
            }
            writeln!(f, "{row}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<66} {:>9} {:>9.1}",
            format!("  {}, per {}", self.what, self.unit),
            self.ours,
            self.ours.typical()
        )?;
        match &self.ours {
            Figure::Time { median, rounds, units_per_round, .. } => {
                write!(f, " {:>10.0} {:>12}", 1e6 / median, format!("{rounds} x {units_per_round}"))?;
            }
            Figure::Size(_) => write!(f, " {:>10} {:>12}", "bytes", "-")?,
        }
        match &self.portable {
            Some(portable) => write!(f, " {:>9.1}", portable.typical())?,
            None => write!(f, " {:>9}", "-")?,
        }
        if let (Some((name, figure)), Some(ratio)) = (&self.baseline, self.ratio()) {
            write!(f, "   {name:<25} {figure:>9} {:>9.1} {ratio:>6.2}", figure.typical())?;
        }
        Ok(())
    }
}

/// The minimum; a size has none.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { minimum, .. } => f.pad(&format!("{minimum:.1}")),
            Self::Size(_) => f.pad("-"),
        }
    }
}

/// Times several pieces of work on the same number of units, one round of each in turn.
fn in_turns<const N: usize>(what: &str, units: usize, mut works: [&mut dyn FnMut(); N]) -> [Figure; N] {
    eprintln!("measuring: {what}");
    let repeats = works.each_mut().map(|work| {
        let warm_up = cpu_time_of(&mut **work, 1);
        (ROUND.as_nanos() / warm_up.as_nanos().max(1)) as usize + 1
    });
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    let started = Instant::now();
    for round in 0..MAX_ROUNDS {
        if round >= MIN_ROUNDS && started.elapsed() > ENOUGH {
            break;
        }
        for ((work, times), repeats) in works.iter_mut().zip(&mut times).zip(repeats) {
            let time = cpu_time_of(&mut **work, repeats);
            times.push(time.as_secs_f64() * 1e6 / (repeats * units) as f64);
        }
    }
    let mut repeats = repeats.into_iter();
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        let units_per_round = units * repeats.next().unwrap_or(1);
        Figure::Time { minimum: times[0], median: times[times.len() / 2], rounds: times.len(), units_per_round }
    })
}

/// Lends the same work twice: computed by this processor's kernel, and by the portable one.
fn by_both<R>(work: impl FnMut(), measure: impl FnOnce(&mut dyn FnMut(), &mut dyn FnMut()) -> R) -> R {
    let own = kernel::chosen();
    let work = RefCell::new(work);
    let by = |choice| {
        let work = &work;
        move || {
            kernel::choose(choice);
            (work.borrow_mut())();
        }
    };
    let measured = measure(&mut by(own), &mut by(Choice::Portable));
    kernel::choose(own);
    measured
}

fn cpu_time_of(work: &mut dyn FnMut(), repeats: usize) -> Duration {
    let before = cpu_time();
    for _ in 0..repeats {
        work();
    }
    cpu_time().saturating_sub(before)
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}
