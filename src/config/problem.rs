//! Shows problems to people and programs.
