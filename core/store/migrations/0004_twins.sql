-- Several entries of a log with one number, of an author who signed them: twin tells
-- them apart, 0 is the one that came first.

ALTER TABLE entries ADD COLUMN twin INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN twin INTEGER NOT NULL DEFAULT 0; -- of the entry
DROP INDEX entries_number;
CREATE UNIQUE INDEX entries_number ON entries (log, number, twin);
CREATE INDEX entries_twin ON entries (log, number, twin) WHERE twin > 0;
DROP INDEX entries_open;
CREATE INDEX entries_open ON entries (log, number, twin, state, type, size) WHERE state IN (1, 5);
