//! Configuration: flag over environment over file over defaults, with the origin of each value.
