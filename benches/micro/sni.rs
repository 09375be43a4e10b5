//! Choosing among 10,000 certificates by the name that a client asks for.

use std::sync::LazyLock;

use causeway_benches::{certificates, host};
use causeway_certs::CertIndex;
use divan::{Bencher, black_box};

const NAMES: usize = 10_000;

static INDEX: LazyLock<CertIndex> = LazyLock::new(|| certificates(NAMES));

fn choose(bencher: Bencher<'_, '_>, asked: &[String]) {
    let index = &*INDEX;
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        black_box(index.choose(Some(&asked[turn % asked.len()])));
    });
}

#[divan::bench]
fn known(bencher: Bencher<'_, '_>) {
    // 7919 is prime: every name comes once, none beside its neighbour.
    choose(bencher, &(0..NAMES).map(|n| host(n * 7919 % NAMES)).collect::<Vec<_>>());
}

#[divan::bench]
fn unknown(bencher: Bencher<'_, '_>) {
    choose(bencher, &(0..NAMES).map(|n| format!("nobody-{n}.example.org")).collect::<Vec<_>>());
}
