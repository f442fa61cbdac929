"""Tests of the engines, against simulated movies whose truth is known."""
