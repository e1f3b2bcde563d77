-- uses packed
-- A part of a rule's groups: the newest times of those that live, and the end of those that are over.
-- KEYS: the hash of its groups. ARGV: the cursor, about how many fields, the kind (as of observe), the
-- time before which a group's newest member is too old, the stems of groups' own keys and of what was
-- superseded. Reply: the next cursor, then each live group's field and newest time, as text.
local kind, horizon, stem, superseded = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]

local function newest_moved_out(key)
  if kind == 'values' then return tonumber(redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2] or nil) end
  local time = redis.call('GETRANGE', key, -16, -9)
  return #time == 8 and number_at(time, 0) or nil
end

local function newest(field, raw)
  if raw == '' then return newest_moved_out(stem .. field) end
  if kind == 'closing' and #raw == 16 then return number_at(raw, 0) end -- the end of what it forgot
  return number_at(raw, #raw - 16)
end

local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply = { found[1] }
for place = 1, #found[2], 2 do
  local field, raw = found[2][place], found[2][place + 1]
  local time = newest(field, raw)
  if time and time >= horizon then
    reply[#reply + 1], reply[#reply + 2] = field, string.format('%.0f', time)
  else
    redis.call('HDEL', KEYS[1], field)
    if raw == '' then redis.call('DEL', stem .. field, superseded .. field) end
  end
end
return reply
