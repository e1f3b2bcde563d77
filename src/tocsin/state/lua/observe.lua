-- uses packed batch events values closing
-- A batch of observations of all rules and groups, in one call.
-- ARGV: committed, then for each rule: kind, span, keep (-1: all), floor, time to live, number of
-- groups, then for each group its sorted records; KEYS in the same order:
--   events   one string a group; its header is the time before which windows may have lost members
--   values   two sorted sets a group: the newest time of each value, and what was superseded
--   closing  first the rule's sorted set of deadlines; then one string a group, whose header is the
--            end of the last window that is forgotten, then as for events; each group's records are
--            followed by its name and by whether values are counted
-- Reply, flat: for each group with something to say its number, size, whether it is floored, how many
-- windows, then each one's time and count.
local number = 0
while arg_at < #ARGV do
  local kind = next_arg()
  local rule = {
    span = tonumber(next_arg()), keep = tonumber(next_arg()), floor = tonumber(next_arg()), ttl = next_arg(),
  }
  local groups = tonumber(next_arg())
  local deadlines = kind == 'closing' and next_key()
  for _ = 1, groups do
    number = number + 1
    if kind == 'events' then
      observe_events(number, rule)
    elseif kind == 'values' then
      observe_values(number, rule)
    else
      observe_closing(number, rule, deadlines)
    end
  end
end
return reply
