//! Texts of nodes, good and bad, and the samples that come of them.

use model::Moment;
use testkit::chance::{Chance, seed};

use crate::stats::counters::Counters;
use crate::stats::gauges::Gauges;
use crate::stats::reading::{Reading, Unreadable, read};
use crate::stats::sample::Sample;

const AT: Moment = Moment(1_700_000_000_123);

const TEXT: &str = r#"# HELP process_cpu_seconds_total CPU time.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.34
process_resident_memory_bytes 1048576
process_start_time_seconds 1699990000.25
process_threads 9
millrace_requests_total{class="2xx",service="demo",tier="edge"} 90
millrace_requests_total{class="5xx",service="demo",tier="edge"} 4
millrace_requests_total{class="5xx",service="other",tier="edge"} 6
millrace_cache_results_total{result="hit",service="demo",tier="edge"} 50
millrace_cache_results_total{result="stale",service="demo",tier="edge"} 5
millrace_cache_results_total{result="revalidated",service="demo",tier="edge"} 4
millrace_cache_results_total{result="collapsed",service="demo",tier="edge"} 3
millrace_cache_results_total{result="miss",service="demo",tier="edge"} 20
millrace_cache_results_total{result="pass",service="demo",tier="edge"} 7
millrace_cache_results_total{result="error",service="demo",tier="edge"} 1
millrace_cache_results_total{result="local",service="demo",tier="edge"} 10
millrace_response_body_bytes_total{result="hit",service="demo",tier="edge"} 5000
millrace_response_body_bytes_total{result="miss",service="demo",tier="edge"} 2000
millrace_response_body_bytes_total{result="local",service="demo",tier="edge"} 30
millrace_first_byte_seconds_bucket{service="demo",tier="edge",le="0.001"} 7
millrace_machine_cpu_seconds_total{mode="user"} 100.5
millrace_machine_cpu_seconds_total{mode="system"} 20.25
millrace_machine_cpu_seconds_total{mode="idle"} 1000
millrace_machine_cpu_seconds_total{mode="iowait"} 1.5
millrace_machine_network_receive_bytes_total{device="lo"} 999999
millrace_machine_network_receive_bytes_total{device="eth0"} 100
millrace_machine_network_receive_bytes_total{device="eth1"} 11
millrace_machine_network_transmit_bytes_total{device="lo"} 999999
millrace_machine_network_transmit_bytes_total{device="eth0"} 2000
millrace_machine_network_transmit_bytes_total{device="eth1"} 22
millrace_machine_network_speed_bytes{device="eth0"} 1.25e9
millrace_machine_network_speed_bytes{device="eth1"} 1.25e9
millrace_machine_network_speed_bytes{device="veth3"} 0
millrace_machine_disk_read_bytes_total{device="nvme0n1"} 4096
millrace_machine_disk_read_bytes_total{device="nvme1n1"} 8192
millrace_machine_disk_written_bytes_total{device="nvme0n1"} 512
millrace_machine_memory_available_bytes 3e9
millrace_machine_memory_total_bytes 8e9
millrace_machine_load1 0.75
millrace_machine_cores 4
millrace_front_connections 17
millrace_cache_disk_errors_total{device="a",operation="read"} 3
millrace_cache_disk_errors_total{device="a",operation="write"} 1
millrace_cache_disk_reads_total{device="a",result="hit"} 500
millrace_cache_disk_reads_total{device="a",result="corrupt"} 2
millrace_cache_disk_reads_total{device="a",result="failed"} 3
millrace_cache_disk_state{device="a",state="healthy"} 0
millrace_cache_disk_state{device="a",state="suspect"} 1
millrace_cache_disk_state{device="a",state="read_only"} 0
millrace_cache_disk_state{device="a",state="offline"} 0
millrace_cache_disk_state{device="b",state="healthy"} 1
millrace_cache_disk_state{device="b",state="suspect"} 0
millrace_cache_disk_state{device="b",state="read_only"} 0
millrace_cache_disk_state{device="b",state="offline"} 0
"#;

#[test]
fn everything_of_interest_in_a_nodes_metrics_is_in_the_sample_and_nothing_else() {
    let expected = Sample {
        at: AT,
        started: 1_699_990_000.25,
        counters: Counters {
            requests: 100,
            server_errors: 10,
            cache_asked: 90,
            cache_hits: 62,
            body_bytes: 7030,
            asked_body_bytes: 7000,
            hit_body_bytes: 5000,
            process_cpu_milliseconds: 12_340,
            disk_errors: 6,
            machine_busy_milliseconds: 120_750,
            machine_idle_milliseconds: 1_001_500,
            received_bytes: 111,
            transmitted_bytes: 2022,
            disk_read_bytes: 12_288,
            disk_written_bytes: 512,
        },
        gauges: Gauges {
            resident_memory_bytes: Some(1_048_576.0),
            memory_available_bytes: Some(3e9),
            memory_total_bytes: Some(8e9),
            load1: Some(0.75),
            cores: Some(4.0),
            network_speed_bytes_per_second: Some(2.5e9),
            open_connections: Some(17.0),
            healthy_devices: Some(1.0),
            suspect_devices: Some(1.0),
            read_only_devices: Some(0.0),
            offline_devices: Some(0.0),
        },
    };
    let reading = Reading {
        sample: expected,
        malformed_lines: 0,
    };
    assert_eq!(read(TEXT, AT), Ok(reading));
}

#[test]
fn an_old_node_that_tells_little_is_read_for_what_it_tells() {
    let text = "millrace_response_body_bytes_total{service=\"demo\",tier=\"edge\"} 77\nprocess_threads 4\n";
    let sample = read(text, AT).unwrap().sample;
    let expected = Counters {
        body_bytes: 77,
        ..Counters::default()
    };
    assert_eq!(sample.counters, expected);
    assert_eq!(sample.gauges, Gauges::default());
    assert_eq!(sample.started, 0.0);
}

#[test]
fn a_machine_with_nothing_but_its_loopback_is_measured_there() {
    let text = "millrace_machine_network_receive_bytes_total{device=\"lo\"} 5\n\
                millrace_machine_network_transmit_bytes_total{device=\"lo\"} 6\n";
    let counters = read(text, AT).unwrap().sample.counters;
    assert_eq!((counters.received_bytes, counters.transmitted_bytes), (5, 6));
}

#[test]
fn a_line_that_breaks_the_format_is_counted_and_skipped() {
    let text = format!("{TEXT}<!-- odd -->\nmillrace_machine_load1 much\n");
    let reading = read(&text, AT).unwrap();
    assert_eq!(reading.malformed_lines, 2);
    assert_eq!(reading.sample.gauges.load1, Some(0.75));
}

#[test]
fn a_gauge_that_is_no_number_is_not_known() {
    for value in ["NaN", "+Inf", "-Inf"] {
        let text = format!("process_threads 1\nmillrace_machine_load1 {value}\nmillrace_machine_cores 2\n");
        let gauges = read(&text, AT).unwrap().sample.gauges;
        assert_eq!((gauges.load1, gauges.cores), (None, Some(2.0)), "{value}");
    }
}

#[test]
fn a_count_that_is_none_makes_the_whole_sample_unreadable_as_its_total_would_be_too_low() {
    for value in ["NaN", "+Inf", "-1", "1e30", "many", ""] {
        let text = format!("{TEXT}millrace_requests_total{{class=\"2xx\",service=\"third\"}} {value}\n");
        assert_eq!(read(&text, AT), Err(Unreadable::Broken { lines: 1 }), "{value}");
    }
}

#[test]
fn a_text_that_was_cut_short_or_is_of_another_kind_or_endless_gives_no_sample() {
    assert_eq!(read(&TEXT[..TEXT.len() - 1], AT), Err(Unreadable::CutShort));
    assert_eq!(read("<html>hello</html>\n", AT), Err(Unreadable::Foreign));
    assert_eq!(read("", AT), Err(Unreadable::Foreign));
    assert_eq!(read("up 1\n", AT), Err(Unreadable::Foreign));
    let long = "\n".repeat(9 << 20);
    let error = read(&long, AT).unwrap_err();
    assert_eq!(error, Unreadable::TooLong { bytes: long.len() });
    for error in [
        error,
        Unreadable::CutShort,
        Unreadable::Broken { lines: 3 },
        Unreadable::Foreign,
    ] {
        assert!(error.to_string().starts_with("/metrics") || error.to_string().contains("of /metrics"));
    }
}

#[test]
fn no_change_to_a_text_makes_it_panic() {
    let mut chance = Chance::new(seed());
    for _ in 0..2_000 {
        let mut bytes = TEXT.as_bytes().to_vec();
        for _ in 0..chance.below(40) {
            let at = chance.below(bytes.len() as u64) as usize;
            bytes[at] = chance.below(256) as u8;
        }
        let _ = read(&String::from_utf8_lossy(&bytes), AT);
    }
}
