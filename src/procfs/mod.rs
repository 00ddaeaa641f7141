//! /proc and /sys.
