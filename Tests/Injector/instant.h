#pragma once

/// `inject at INSTANT SIGNAL REPORT PROGRAM [ARG...]`, from INSTANT on. Returns the exit code.
int inject_at_instant(char **argv);
