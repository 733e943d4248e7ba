"""Where pictures come from: one file a format, each giving rows in the form of stages/sources/rows.py."""
