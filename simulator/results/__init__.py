"""What a run showed: tables, metrics, verdicts, and the directory they are kept in."""
