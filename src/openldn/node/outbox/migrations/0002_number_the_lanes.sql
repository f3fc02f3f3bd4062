-- What a worker has in hand is found back by a number alone, also before the server has counted
-- how the rows are spread; a lane that was emptied and filled again has another.
ALTER TABLE outbox_lane ADD COLUMN number bigint NOT NULL GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX outbox_lane_number ON outbox_lane (number);
-- A delivered message is written again without its body; room on the same page makes that cheap.
ALTER TABLE outbox_message SET (fillfactor = 70);
-- Messages are settled about in the order in which they came, so ranges of pages say enough.
DROP INDEX outbox_message_settled;
CREATE INDEX outbox_message_settled ON outbox_message USING brin (settled);
