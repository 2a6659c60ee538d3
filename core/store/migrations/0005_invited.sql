-- Of the members of a list, those who were asked and have not answered.

ALTER TABLE memberships ADD COLUMN invited TEXT NOT NULL DEFAULT 'null'; -- JSON array, as members
ALTER TABLE chats ADD COLUMN invited TEXT NOT NULL DEFAULT 'null';       -- of the present list
