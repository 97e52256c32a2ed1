//! What only the engine can see.
