"""What people and programs ask about rules: lists, explanations, exports, schemas."""
