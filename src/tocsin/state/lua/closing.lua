-- Windows that are decided when they close: members are kept, and the open window's end is noted.

-- Of a saturated group, keep the first `keep` of each window: the first one opens it.
local function trimmed(raw, span, keep, distinct)
  local size, place, floor_until = (#raw - 16) / 16, 0, number_at(raw, 8)
  local kept = {}
  while place < size do
    local last, count, hashes = time_at(raw, 16, place) + span, 0, {}
    while place < size and time_at(raw, 16, place) <= last do
      local member = record(raw, 16, place)
      local hash = string.sub(member, 9)
      if count < keep and not (distinct and hashes[hash]) then
        count = count + 1
        hashes[hash] = true
        kept[#kept + 1] = member
      else
        floor_until = math.max(floor_until, last + 1)
      end
      place = place + 1
    end
  end
  return string.sub(raw, 1, 8) .. struct.pack('>i8', floor_until) .. table.concat(kept)
end

-- What becomes of the group's field, as for events; it is never moved out.
local function observe_closing(number, rule, held, batch, name)
  local before = held or struct.pack('>i8i8', NEVER, NEVER)
  local closed_until = number_at(before, 0)
  batch = string.sub(batch, 16 * first_at(batch, 0, #batch / 16, closed_until + 1) + 1)
  if #batch == 0 then return nil end
  local raw, added = merged(before, 16, batch)
  if added > 0 then
    if rule.keep >= 0 and (#raw - 16) / 16 > SATURATED then
      raw = trimmed(raw, rule.span, rule.keep, rule.distinct)
    end
    if #before == 16 or time_at(before, 16, 0) ~= time_at(raw, 16, 0) then
      redis.call('ZADD', rule.deadlines, time_at(raw, 16, 0) + rule.span, name)
    end
  end
  answer(number, (#raw - 16) / 16, {}, NEVER)
  return added > 0 and raw or nil
end
