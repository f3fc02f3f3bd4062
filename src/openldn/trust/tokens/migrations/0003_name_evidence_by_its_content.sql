-- Evidence was known by its id, which is chosen by who issues it: one could stand for another.
-- Tokens given before this step live minutes only and are asked anew.
DELETE FROM access_token;
DELETE FROM evidence;
