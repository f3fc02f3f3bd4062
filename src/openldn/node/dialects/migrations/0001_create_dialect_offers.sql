-- In which dialect an offer was told, to us or by us; one that is not here is in the harmonized form.
CREATE TABLE dialect_offer (
  holder     text    NOT NULL,  -- URA of the organization whose offers these are
  handle     text    NOT NULL,  -- as in the table offer
  side       text    NOT NULL CHECK (side IN ('sent', 'received')),
  peer       text    NOT NULL,  -- URA of the other side
  wire       text    NOT NULL,  -- code of the dialect
  task       text    NOT NULL,  -- Task.id at the placer
  identifier text    NOT NULL,  -- business identifier; empty where the dialect tells none
  exchange   text    NOT NULL,  -- empty: not known yet
  did        text    NOT NULL,  -- of the peer, as its token proved it; empty: none
  told       bigint  NOT NULL,  -- how often we were told of it
  seen       bigint  NOT NULL,  -- up to which of these we looked
  cancelled  boolean NOT NULL,  -- it was withdrawn by its identifier
  losses     text[]  NOT NULL,  -- what got lost: "element: why", without any value
  notice     bytea   NOT NULL,  -- the notification as it came, sealed; empty: none
  PRIMARY KEY (holder, handle)
);
CREATE INDEX dialect_offer_identifier ON dialect_offer (holder, side, peer, identifier)
  WHERE identifier <> '';
