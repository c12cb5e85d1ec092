//! The metrics of the process. The library's collector reads the time on processors in whole seconds, of
//! which no rate of the last second can be made; here it has its fraction.

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, MetricFamily};
use rustix::time::{ClockId, clock_gettime};

/// The metric whose value is replaced.
const CPU_SECONDS: &str = "process_cpu_seconds_total";

/// Of this process.
pub(super) struct Process(ProcessCollector);

impl Process {
    pub(super) fn new() -> Self {
        Process(ProcessCollector::for_self())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        for family in families.iter_mut().filter(|family| family.name() == CPU_SECONDS) {
            for metric in family.mut_metric() {
                let mut counter = Counter::default();
                counter.set_value(cpu_seconds());
                metric.set_counter(counter);
            }
        }
        families
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_processors_has_its_fraction() {
        let seconds = || {
            let families = Process::new().collect();
            let cpu = families.iter().find(|family| family.name() == CPU_SECONDS).unwrap();
            cpu.get_metric()[0].get_counter().get_value()
        };
        let before = seconds();
        while cpu_seconds() < before + 0.01 {
            std::hint::black_box(before.sqrt());
        }
        let after = seconds();
        assert!(after > before && after.fract() != 0.0, "{before} {after}");
    }
}
