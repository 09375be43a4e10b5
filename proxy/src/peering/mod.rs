//! Keeping in touch with the other edges, and letting them in: the tasks around [`peer`](crate::peer).
//!
//! ```text
//! Prober --ping--> engine --> lane ~~~~~~> PeerDoor --> engine --> v1
//! Asker --/v1/state, at home only~~~~~~~~> PeerDoor --> engine --> v1
//! ```

mod door;
mod lapse;
mod probe;
mod prober;
mod sibling;

pub use door::PeerDoor;
pub use prober::Prober;
pub use sibling::Asker;
