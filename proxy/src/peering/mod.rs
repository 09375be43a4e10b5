//! Keeping in touch with the other edges, and letting them in: the tasks around [`peer`](crate::peer).
//!
//! ```text
//! Prober --ping--> engine --> lane ~~~~~~> PeerDoor --> engine --> v1
//! ```

mod door;
mod probe;
mod prober;

pub use door::PeerDoor;
pub use prober::Prober;
