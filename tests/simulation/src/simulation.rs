//! The choice of endpoints under virtual time: three clouds, 300 pods, 1,000 requests a second, and what goes wrong.
//!
//! What decides here is the product's own code: `compile`, `plan`, `tick`, the cells and `retry`. What is played are
//! pods, links and the clock (`clouds`), and the engine that asks (`edge`). There are no sockets and no waiting, and a
//! seed repeats a run to the nanosecond.
//!
//! ```sh
//! cargo test -p causeway-simulation                                          ten seeds for each scenario
//! make soak                                                                  a thousand
//! SIMULATION_PRINT=7 cargo test -p causeway-simulation cloud_death -- --nocapture   seed 7, by the second: who served what
//! ```

mod clouds;
mod edge;
mod fleet;
mod report;
mod run;
mod scenarios;
