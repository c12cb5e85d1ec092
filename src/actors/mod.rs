//! The actors that carry a batch from the door to the durable root.
