-- uses packed batch events values_many values closing
-- A batch of observations of all rules and groups, in one call.
-- KEYS: for each rule the hash of its groups and the sorted set of deadlines, which only closing
-- rules use. The keys of groups that outgrew the hash are made here, of the same hash tag.
-- ARGV: committed, then for each rule: kind, span, keep (-1: all), floor, time to live, the stems of
-- groups' own keys and of what was superseded, whether values are counted, number of groups, then
-- the groups' fields, then each one's sorted records, then (closing) their names. Kinds:
--   events   records of a time and an id each; many: one string a group
--   values   records of a time and a value each; many: two sorted sets a group
--   closing  the hash alone; its header is the end of the last window that is forgotten, then as above
-- Reply, flat: for each group with something to say its number, size, whether it is floored, how many
-- windows, then each one's time and count.
local number = 0

local function observed(kind, rule, field, held, batch, name)
  if kind == 'events' then return observe_events(number, rule, field, held, batch) end
  if kind == 'values' then return observe_values(number, rule, field, held, batch) end
  return observe_closing(number, rule, held, batch, name)
end

-- Groups `from` .. `upto` of a rule, whose fields begin after place `fields` of ARGV.
local function observe_some(kind, rule, fields, groups, from, upto)
  local found = redis.call('HMGET', rule.groups, unpack(ARGV, fields + from, fields + upto))
  local batches, names = fields + groups, fields + 2 * groups
  local alone = kind ~= 'closing' and rule.floor > 1 -- one record of a new group says nothing
  local kept, gone, at = {}, {}, 0
  for place = from, upto do
    number = number + 1
    local held, field, batch = found[place - from + 1], ARGV[fields + place], ARGV[batches + place]
    local content = batch
    if held or not alone or #batch > 16 then
      content = observed(kind, rule, field, held, batch, ARGV[names + place])
    end
    if content then
      kept[at + 1], kept[at + 2] = field, content
      at = at + 2
    elseif content == false and held then
      gone[#gone + 1] = field
    end
  end
  if at > 0 then redis.call('HSET', rule.groups, unpack(kept)) end
  if #gone > 0 then redis.call('HDEL', rule.groups, unpack(gone)) end
end

local key_at = 0
while arg_at < #ARGV do
  local kind = next_arg()
  local rule = {
    groups = KEYS[key_at + 1], deadlines = KEYS[key_at + 2],
    span = tonumber(next_arg()), keep = tonumber(next_arg()), floor = tonumber(next_arg()),
    ttl = next_arg(), stem = next_arg(), superseded = next_arg(), distinct = next_arg() == '1',
  }
  local groups, fields = tonumber(next_arg()), arg_at
  for from = 1, groups, CHUNK do
    observe_some(kind, rule, fields, groups, from, math.min(from + CHUNK - 1, groups))
  end
  redis.call('PEXPIRE', rule.groups, rule.ttl)
  if kind == 'closing' then redis.call('PEXPIRE', rule.deadlines, rule.ttl) end
  key_at = key_at + 2
  arg_at = fields + (kind == 'closing' and 3 or 2) * groups
end
return reply
