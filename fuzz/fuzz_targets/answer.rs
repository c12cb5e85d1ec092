#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ron_ledger_fuzz::answer(bytes));
