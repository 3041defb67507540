"""Fakes of every port, for tests here and for programs that use syscr; product code never imports them."""
