-- uses packed
-- The newest times of groups, and the end of those that are over.
-- KEYS: for each group its key and the key of what was superseded; ARGV: for each group the header's
-- length (0: a sorted set of values) and the time before which its newest member is too old.
-- Reply: each group's newest time, as text; empty where it is gone.
local function newest(key, head)
  if head == 0 then return tonumber(redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2] or nil) end
  local size = redis.call('STRLEN', key)
  if size > head then return number_at(redis.call('GETRANGE', key, size - 16, size - 9), 0) end
  if size == head then return number_at(redis.call('GETRANGE', key, 0, 7), 0) end -- closed_until
  return nil
end

local reply = {}
for place = 1, #KEYS, 2 do
  local head, horizon = tonumber(ARGV[place]), tonumber(ARGV[place + 1])
  local time = newest(KEYS[place], head)
  if time and time < horizon then
    redis.call('DEL', KEYS[place], KEYS[place + 1])
    time = nil
  end
  reply[#reply + 1] = time and string.format('%.0f', time) or ''
end
return reply
